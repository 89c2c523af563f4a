import asyncio
from datetime import datetime, timezone
from meetbot import AsyncMeetBot, AutoLeaveConfig

async def main() -> None:
    async with AsyncMeetBot() as mb:
        job = await mb.dispatch_bot(
            external_id="q2-board-meeting-acme",
            meeting_url="https://meet.google.com/xyz-abcd-efg",
            join_at=datetime(2026, 5, 15, 14, 0, tzinfo=timezone.utc),
            display_name="Acme Notetaker",
            on_finalize_url="https://api.acme.example/meetbot/finalize",
            metadata={"customer_id": "cust_4711"},
            auto_leave=AutoLeaveConfig(
                after_entry_delay_seconds=300,
                after_max_seconds=7200,
                on_bot_detected=True,
            ),
        )
        print(job.id, job.status, job.join_at)

asyncio.run(main())
