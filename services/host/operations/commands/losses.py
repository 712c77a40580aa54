"""Accepting a loss: going on without what a database or the log has lost.

See :mod:`shared.outbox.loss_acceptance`.
"""

from collections.abc import Sequence

from shared.consuming.log_agreement import LOG
from shared.log.port import EventLog
from shared.outbox.loss_acceptance import AcceptedLoss, accept_loss
from shared.store.engine import Store

__all__ = ["accept_losses"]


async def accept_losses(
    stores: Sequence[Store], log: EventLog, what: str, *, by: str, reason: str
) -> list[AcceptedLoss]:
    """Accept what the database of service ``what`` lost; what all have lost if it is the log.

    ``stores`` are closed, before and after. Nothing else may run meanwhile.
    """
    accepted = []
    for store in stores:
        if what not in (LOG, store.service):
            continue
        await store.open()
        try:
            loss = await accept_loss(store, log, by=by, reason=reason)
        finally:
            await store.close()
        if loss is not None:
            accepted.append(loss)
    return accepted
