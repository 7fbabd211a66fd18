"""What the tests of the Calendar stand-in share."""

from __future__ import annotations

import httpx


def reason(answer: httpx.Response) -> tuple[int, str]:
    """Return the status and the reason of a refusal in the API's own shape."""
    return answer.status_code, answer.json()["error"]["errors"][0]["reason"]
