"""The backends of xpnet, one for each library; use them through `xpnet.get_backend`.

A file `name_backend.py` imports its one array library and binds `BACKEND` to its `Backend` class; what
it is made of stands beside it, as `name_kernels.py`.
"""
