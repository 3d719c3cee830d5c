"""IPython's kernel, except that it does not tell the version of Python.

JupyterLab writes into a notebook what its kernel tells of itself. The notebooks of the book hold no
version; with this kernel, one that is opened and closed stays as it was.
"""

import sys

if __name__ == "__main__":  # other processes that a chapter starts may import this file
    del sys.path[0]  # this folder; the kernel adds the notebook's own
    from ipykernel.ipkernel import IPythonKernel
    from ipykernel.kernelapp import launch_new_instance

    IPythonKernel.language_info = {
        **{key: told for key, told in IPythonKernel.language_info.items() if key != "version"},
        "codemirror_mode": {"name": "ipython", "version": 3},
    }
    launch_new_instance()
