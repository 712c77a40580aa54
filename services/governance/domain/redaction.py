"""What is left of texts once somebody who wrote them, or is named in them, was erased. Pure."""

import re
from collections.abc import Collection
from dataclasses import replace
from uuid import UUID

from services.governance.domain.sharing import NewRequest, SharingRequest

__all__ = ["REDACTED", "redact_request", "without_words"]

REDACTED = "[removed at the request of the person]"
"""Stands in place of what an erased person wrote, or of their name and address in what others wrote."""


def without_words(text: str | None, words: Collection[str]) -> str | None:
    """Return a text with each of ``words`` (a name, an address) replaced, in whatever letters."""
    if not text:
        return text
    for word in sorted(filter(None, words), key=len, reverse=True):
        text = re.sub(re.escape(word), REDACTED, text, flags=re.IGNORECASE)
    return text


def redact_request(request: SharingRequest, person_id: UUID, words: Collection[str]) -> SharingRequest:
    """Return a request without an erased person; the same one where nothing of them is in it.

    What they asked for is gone whole; a decision is the agency's record, and loses their name and address.
    """
    content = request.content
    texts = [content.purpose, content.data_wanted, content.legal_basis, content.retention]
    is_own = request.requester_id == person_id
    left = [(text and REDACTED) if is_own else without_words(text, words) for text in texts]
    redacted = replace(
        request,
        content=NewRequest(left[0] or "", left[1] or "", left[2], left[3]),
        decision_reason=without_words(request.decision_reason, words),
    )
    return request if redacted == request else replace(redacted, version=request.version + 1)
