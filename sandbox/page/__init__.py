"""The sandbox as a page: a week of events, their conferences, and what happened in between.

    with World(directory) as world, Page(world) as page:
        print(page.url)

The browser talks to this small server alone. The server does to the stand-ins and the functions
what a person or a service would do, by the same HTTP calls that it shows as curl lines.

- `server`: the addresses of the page, and the stream that keeps it live
- `observe`: one thread that watches the records of the stand-ins
- `changes`: which record belongs to which change of an event (pure)
- `view`: the events and conferences, as the page shows them
- `actions`, `troubles`: what can be done
- `calls`: one HTTP call, and its curl line
- `steps`: the story of the demo, one step at a time
- `files`: the page, its script, its styles, and the calendar component with its licence
"""

from sandbox.page.server import Page

__all__ = ["Page"]
