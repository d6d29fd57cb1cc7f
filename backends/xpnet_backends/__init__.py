"""The backends of xpnet, one file each; use them through `xpnet.get_backend`.

A file `name_backend.py` imports its one array library and binds `BACKEND` to its `Backend` class.
"""
