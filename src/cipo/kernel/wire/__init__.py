"""The Kubernetes API over ``Resources``: what kubectl, informers and the console's own client speak.

Pure parts (selectors, patch, ssa, decode, schema, table, …) know no HTTP; the store uses some of them. ``routes.py`` puts the HTTP parts
together; import it from there, so that the store can import the pure parts without the server.
"""
