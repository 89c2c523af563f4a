"""Deliveries of webhooks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import _calls
from .caller import AsyncCaller

if TYPE_CHECKING:
    from .._enums import DeliveryStateWord
    from .._models import Job
    from .._responses import Delivery, DeliveryPage


class AsyncWebhookCalls(AsyncCaller):
    """The calls that look at deliveries of webhooks and repeat them."""

    async def deliveries(
        self,
        *,
        job_id: Job | str | None = None,
        state: DeliveryStateWord | None = None,
        limit: int | None = None,
        cursor: str | None = None,
        timeout: float | None = None,
    ) -> DeliveryPage:
        """One page of webhook deliveries with every try, newest first: `data`, and `next_cursor` for the next page.

        Example:
            >>> page = await mb.deliveries(state="dead")
            >>> for delivery in page.data:
            ...     delivery = await mb.redeliver(delivery.id)
        """
        call = _calls.deliveries(job_id=job_id, state=state, limit=limit, cursor=cursor)
        return await self._call(call, timeout)

    async def get_delivery(self, delivery_id: str, *, timeout: float | None = None) -> Delivery | None:
        """A webhook delivery with every try, or `None` when there is none with this id.

        Example:
            >>> print(await mb.get_delivery("dlv_00000000000000000000000000"))
            None
        """
        return await self._or_none(_calls.get_delivery(delivery_id), timeout)

    async def redeliver(
        self, delivery_id: str, *, idempotency_key: str | None = None, timeout: float | None = None
    ) -> Delivery:
        """Sends a webhook again at once, whatever became of it, under the same `deliveryId`.

        Example:
            >>> for delivery in (await mb.deliveries(state="dead")).data:
            ...     delivery = await mb.redeliver(delivery.id)
        """
        return await self._call(_calls.redeliver(delivery_id), timeout, idempotency_key)
