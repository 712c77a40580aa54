"""``nutmeg jobs``: which jobs are parked, because processes died on them, and how one is released."""

from typing import Annotated
from urllib.parse import quote
from uuid import UUID

import typer

from services.host.cli.options import (
    AsJson,
    DataDir,
    InstallationProfile,
    ProfileOption,
    RemoteAPI,
    RemoteToken,
    Target,
    answer_of,
)

__all__ = ["add_jobs"]


def add_jobs(app: typer.Typer) -> None:
    """Add the commands."""
    jobs = typer.Typer(no_args_is_help=True, help="Parked jobs: two processes in a row died on each.")
    app.add_typer(jobs, name="jobs")

    @jobs.command(name="list")
    def list_jobs(
        as_json: AsJson = False,
        data_dir: DataDir = None,
        api: RemoteAPI = None,
        token: RemoteToken = None,
        profile: ProfileOption = InstallationProfile.EMBEDDED,
    ) -> None:
        """List parked jobs with the reason of each."""
        from services.host.cli.output import show_json, show_table

        found = answer_of(
            Target(data_dir, api, token, profile),
            lambda connection: connection.get("/api/v1/ops/parked-jobs"),
        )
        if as_json:
            show_json(found)
            return
        rows = [(one["queue"], one["job_id"], one["subject"], one["reason"]) for one in found["items"]]
        show_table(f"{found['total']:,} parked jobs", ["Queue", "Id", "Job", "Why"], rows)

    @jobs.command()
    def release(
        queue: Annotated[str, typer.Argument(help="Its queue, as the list shows it.")],
        job_id: Annotated[UUID, typer.Argument(help="Its id, as the list shows it.")],
        data_dir: DataDir = None,
        api: RemoteAPI = None,
        token: RemoteToken = None,
        profile: ProfileOption = InstallationProfile.EMBEDDED,
    ) -> None:
        """Make a parked job due again, as if nobody had tried it."""
        from services.host.cli.output import say

        path = f"/api/v1/ops/parked-jobs/{quote(queue, safe='')}/{job_id}/release"
        answer_of(Target(data_dir, api, token, profile), lambda connection: connection.call("POST", path))
        say("Released.")
