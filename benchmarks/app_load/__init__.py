"""The app under load: `__main__` is the script; a large store, a browser, readers, MLflow."""
