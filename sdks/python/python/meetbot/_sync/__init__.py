"""The blocking client. Made from `_async` by `write_sync_client.py`: change it there."""
