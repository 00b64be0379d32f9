"""Parts of `app_load.py`: a large store, a browser, many readers, and another tracker beside."""
