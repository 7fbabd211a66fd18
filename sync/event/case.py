"""One event of a run: what was listed, what is remembered of it, and what became of it so far."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from sync.context import Run
from sync.errors import Conflict
from sync.model.calendar import Counts
from sync.model.conference import Carried, ConferenceRef, EventRef, Failure, Link
from sync.model.event import Entry, Event
from sync.store import PutLink, Versioned


@dataclass(slots=True)
class Case:
    """One event of a run, changed by the steps that carry out its plan.

    `link` is what is remembered of `ref`: for an occurrence, its series' link. `shared` is what an
    occurrence shares with its series, while its own link is looked at (E5). `action` and
    `conference` say what is being tried, for the failure's record if it fails. `done` names the
    actions that were carried out, for the log.
    """

    ref: EventRef
    entry: Entry
    event: Event
    link: Versioned[Link] | None
    failure: Versioned[Failure] | None = None
    shared: Carried | None = None
    counts: Counts = field(default_factory=Counts)
    action: str = "plan"
    conference: ConferenceRef | None = None
    done: list[str] = field(default_factory=list)

    @property
    def remembered(self) -> Link:
        """The link, an empty one where nothing is remembered yet."""
        return self.link.value if self.link else Link(event=self.ref)

    @property
    def carried(self) -> Carried | None:
        return self.link.value.carried if self.link else None

    def trying(self, action: str, conference: ConferenceRef | None) -> None:
        self.action, self.conference = action, conference

    def put(self, run: Run, link: Link) -> None:
        """Write the link on condition that nobody else did. Raises Conflict."""
        version = run.store.commit([PutLink(link, self.link.version if self.link else None)])[0]
        if version is None:
            raise Conflict
        self.link = Versioned(link, version)

    def is_latest(self, run: Run) -> bool:
        """Tell whether nobody has written the link since this case read or wrote it."""
        ref = self.remembered.event
        found = run.store.get_known(ref.calendar_id, [ref.event_id]).links.get(ref.event_id)
        return (found and found.version) == (self.link and self.link.version)

    def change_carried(self, run: Run, change: Callable[[Carried], Carried]) -> None:
        """Change what is remembered of the conference that the event carries. Raises Conflict."""
        link = self.remembered
        if link.carried is None:
            raise Conflict
        self.put(run, replace(link, carried=change(link.carried)))
