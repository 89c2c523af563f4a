"""The client for asyncio, a file a noun. `_sync` is made from these files by `write_sync_client.py`."""
