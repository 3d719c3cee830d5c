"""How `make read` opens the book: JUPYTER_CONFIG_PATH and JUPYTER_PATH name this folder."""

c = get_config()  # noqa: F821  (JupyterLab defines it)

# The cover, as a page to read and not as a text to edit.
c.LabApp.default_url = "/lab/tree/chapters/README.md?factory=Markdown%20Preview"
