"""How `make read` opens the book: JUPYTER_CONFIG_PATH and JUPYTER_PATH name this folder."""

c = get_config()  # noqa: F821  (JupyterLab defines it)

# The cover. labconfig/ has Markdown shown as a page to read, and no question about news.
c.LabApp.default_url = "/lab/tree/chapters/README.md"
