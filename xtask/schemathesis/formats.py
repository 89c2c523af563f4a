"""What a schema cannot say: the meaning of the document's formats, so that data generated as valid are valid."""

from datetime import datetime

import schemathesis
from hypothesis import strategies as st

# The sandbox's meetings, and others that a test key plays: nobody is met. Most end by themselves at once.
MEETINGS = [
    "https://sandbox.meetbot.dev/no-such-meeting",
    "https://sandbox.meetbot.dev/already-ended",
    "https://sandbox.meetbot.dev/host-denies",
    "https://sandbox.meetbot.dev/bad-passcode?pwd=secret",
    "https://sandbox.meetbot.dev/two-speakers?seconds=1",
]
schemathesis.openapi.format("meeting-url", st.sampled_from(MEETINGS))

# A closed door on this machine.
schemathesis.openapi.format("uri", st.sampled_from(["http://127.0.0.1:9/hook", "http://localhost:9/?a=b"]))

# At least one character is visible.
letters = st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=49)
schemathesis.openapi.format(
    "visible-text", st.tuples(letters, st.sampled_from("aß字😀."), letters).map("".join)
)

# `joinAt` is at most a year ahead, and the past means now.
schemathesis.openapi.format(
    "date-time",
    st.datetimes(max_value=datetime(2026, 1, 1)).map(lambda moment: moment.isoformat() + "Z"),
)


@schemathesis.hook
def filter_body(_context, body):
    """Leaves out a misspelt field, which the server refuses: Hypothesis uses the texts of this file as names of additional fields."""
    return not (isinstance(body, dict) and "meeting-url" in body)


@schemathesis.hook
def filter_case(_context, case):
    """Leaves out accounts: a test key has none. Unlike filter_body, this is asked about the cases of all phases."""
    return not (isinstance(case.body, dict) and isinstance(case.body.get("account"), str))
