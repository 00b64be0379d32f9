"""The app under load: `__main__` is the script, the other files what it fills, browses and reads."""
