"""`submit upload`: upload a zip, submit it once, wait for the scores."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import ArchiveError, RefusedError, StorageError
from ..system.files import run_path
from ..system.words import counted
from ._codabench import (
    ask,
    check_view,
    connect,
    keeping,
    remember_account,
    server_options,
    state,
)
from ._options import PATH, json_option, optional_split, runs_dir_option, workers_option
from ._output import emit, facts, format_bytes, note, show, stack, warn
from ._progress import progress
from ._splits import open_split
from ._transfer import Transfer
from ._views import findings_view, local_score
from ._watching import SubmissionView, require_success, show_failure, watch_to_end

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ..codabench import Check, Client, Package, Submission, UploadPlan
    from ..runs import Run
    from ..system.urls import Place

#: Bytes of a zip that takes seconds to read.
_LARGE = 500_000_000


@click.command()
@click.argument("zip_path", metavar="ZIP", type=PATH)
@optional_split(
    "The split, for the precheck: a folder with Annotations and JPEGImages.", meta=True
)
@click.option("--skip-check", is_flag=True, help="Upload without the precheck.")
@click.option("--team", is_flag=True, help="Require a team.json, as test phases do.")
@click.option(
    "--label", metavar="TEXT", help="Its name in your records. Default: the zip's name."
)
@click.option(
    "--run",
    "made_of",
    multiple=True,
    metavar="RUN",
    help="A run the zip was made of, to remember. Default: the run that submit build "
    "packed.",
)
@click.option(
    "--local-scores",
    type=PATH,
    metavar="FILE",
    help="The scores.json of submit score on a hold-out, to remember.",
)
@click.option(
    "--fact",
    "typed_facts",
    multiple=True,
    metavar="KEY=VALUE",
    help="An answer for the competition's fact sheet; repeatable.",
)
@click.option(
    "--force", is_flag=True, help="Submit even if the same zip was submitted before."
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--dry-run", is_flag=True, help="Show the plan without changing anything."
)
@click.option(
    "--watch/--no-watch", default=True, help="Whether to wait for the scores."
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    metavar="MINUTES",
    help="Maximum time to watch.",
)
@click.option(
    "--keep-upload",
    is_flag=True,
    help="Leave the zip on the server when the submission is refused.",
)
@workers_option
@runs_dir_option
@server_options
@json_option
def upload(
    zip_path: Path,
    split: Place | None,
    skip_check: bool,
    team: bool,
    label: str | None,
    made_of: tuple[str, ...],
    local_scores: Path | None,
    typed_facts: tuple[str, ...],
    force: bool,
    yes: bool,
    dry_run: bool,
    watch: bool,
    timeout: float | None,
    keep_upload: bool,
    workers: int | None,
    runs: Path,
    phase: str | None,
    competition: int,
    url: str,
    as_json: bool,
) -> None:
    """Upload a zip, submit it exactly once, wait for the scores.

    Before the upload, ZIP is checked against the split, and the server is asked whether
    you may submit, how many attempts and how much storage are left, and whether the
    same zip was submitted before. The plan is shown and must be confirmed. If
    interrupted, the same command continues.

    \b
    Example:
      submit upload both.zip --split MOSEv2/valid --label "both, flipped"
    """
    if split is None and not skip_check:
        raise click.UsageError(
            "--split DIR is needed for the precheck; or leave it out with --skip-check"
        )
    from ..codabench import Upload, make_plan

    answers = _pairs(typed_facts)
    local = None if local_scores is None else local_score(local_scores)
    package = _read(zip_path)
    manifests = _manifests(runs, made_of, package)
    command = _command(split, team=team, force=force, keep_upload=keep_upload)
    with connect(url) as client:
        plan = make_plan(
            client,
            package,
            state(),
            competition=competition,
            phase=phase,
            label=label,
            facts=answers,
            runs=manifests,
            local=local,
            command=command,
            force=force,
        )
        checks = list(plan.checks)
        if plan.resumes is None and not any(check.error for check in checks):
            checks.insert(0, _precheck(zip_path, split, team=team, workers=workers))
        view = _plan_view(plan, checks)
        if dry_run:
            emit(view, _plan_data(plan, checks), as_json=as_json)
            plan.require()
            return
        show(view)
        plan.require()
        if plan.resumes is None and not ask(_question(plan), yes=yes):
            note("nothing was uploaded")
            click.get_current_context().exit(1)
        transfer = Transfer("upload", clock=client.clock.monotonic)
        try:
            submission = Upload(
                client, plan, state(), listener=transfer, keep=keep_upload
            ).run()
        except KeyboardInterrupt:
            note("the same command continues from here")
            raise
        note(
            f"submission {submission.id} of {plan.label} is in phase {plan.phase.name}"
        )
        _remember(client, plan, submission)
        if not watch:
            data = {
                **_identity(plan),
                "id": submission.id,
                "status": submission.status,
            }
            hint = {"submission": str(submission.id), "status": submission.status}
            emit(facts(hint), data, as_json=as_json)
            return
        _watch(client, plan, submission.id, timeout, as_json=as_json)


def _command(
    split: Place | None, *, team: bool, force: bool, keep_upload: bool
) -> list[str]:
    """The options that continue this upload from any folder, for a later hint.

    Options that describe the submission are remembered elsewhere.
    """
    flags = {"--team": team, "--force": force, "--keep-upload": keep_upload}
    check = ["--skip-check"] if split is None else ["--split", str(split.absolute())]
    return [*check, *(flag for flag, is_set in flags.items() if is_set)]


def _pairs(settings: Sequence[str]) -> dict[str, str]:
    pairs = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise RefusedError(
                f"--fact {setting}: expected KEY=VALUE",
                "such as --fact method=SAM2",
            )
        pairs[key] = value
    return pairs


def _read(path: Path) -> Package:
    """Compute the digests of a zip; for a large one show a bar."""
    from ..codabench import Package

    if not path.is_file() or path.stat().st_size < _LARGE:
        return Package.read(path)
    transfer = Transfer("read")
    transfer.begin(path.stat().st_size)
    complete = False
    try:
        package = Package.read(path, transfer.sent)
        complete = True
        return package
    finally:
        transfer.end(arrived=complete)


def _precheck(
    path: Path, split: Place | None, *, team: bool, workers: int | None
) -> Check:
    """Check the zip against the split; its findings end the command.

    Raises:
        ArchiveError: It has findings that cost points.
    """
    from ..codabench import Check, Level

    if split is None:
        return Check("precheck", "skipped", Level.WARNING)
    from ..checks import check_masks, masks_to_check

    opened = open_split(split)
    with progress("check", total=masks_to_check(opened), unit="masks") as bar:
        found = check_masks(
            path, opened, team=team, workers=workers, progress=bar.advance
        )
    if found.exit_code:
        show(findings_view(found))
        raise ArchiveError(
            f"{path}: the precheck has findings; correct them (submit repair {path}), "
            "or upload it anyway with --skip-check"
        )
    if found.findings:
        text = f"{counted(len(found.findings), 'note')}, nothing that costs points"
        return Check("precheck", f"{text}; see submit check {path}", Level.WARNING)
    return Check("precheck", f"no findings against {split}")


def _plan_view(plan: UploadPlan, checks: Sequence[Check]) -> RenderableType:
    package = plan.package
    return stack(
        facts(
            {
                "zip": str(package.path),
                "size": format_bytes(package.size),
                "SHA-256": package.sha256,
                "label": plan.label,
                "name there": package.file_name(plan.label),
            }
        ),
        check_view(checks),
    )


def _plan_data(plan: UploadPlan, checks: Sequence[Check]) -> dict[str, Any]:
    return {
        **_identity(plan),
        "checks": [
            {"name": each.name, "level": each.level.value, "text": each.text}
            for each in checks
        ],
    }


def _identity(plan: UploadPlan) -> dict[str, Any]:
    return {
        "zip": plan.package.path,
        "size": plan.package.size,
        "sha256": plan.package.sha256,
        "label": plan.label,
        "competition": plan.competition.id,
        "phase": plan.phase.id,
    }


def _question(plan: UploadPlan) -> str:
    used = "" if plan.phase.left_today is None else ", which uses one attempt"
    return f"Upload and submit to {plan.competition.title}, {plan.phase.name}{used}?"


def _manifests(
    runs: Path, made_of: Sequence[str], package: Package
) -> list[dict[str, Any]]:
    """The heads of the manifests of the runs that a zip was made of."""
    from ..runs import Run
    from ..system.files import read_json

    found: dict[Path, Run] = {}
    for name in made_of:
        path = run_path(runs, name)
        found[path] = Run.open(path)
    # `submit build` notes in the run's folder which zip it was packed into.
    for folder in {runs, package.path.parent}:
        for stamp in folder.glob("*/built.json"):
            try:
                packed = read_json(stamp)["packed"]["result"]
            except (OSError, ValueError, KeyError, TypeError):
                continue
            if packed == package.sha256 and Run.exists(stamp.parent):
                found[stamp.parent] = Run.open(stamp.parent)
    return [
        {
            "name": run.name,
            "kind": run.kind,
            "settings": run.settings,
            "split": run.split,
            "identity": run.identity,
            "git_commit": run.environment.get("git_commit"),
        }
        for run in found.values()
    ]


def _remember(client: Client, plan: UploadPlan, submission: Submission) -> None:
    from ..codabench import Record
    from ..system.machine import git_commit

    remember_account(client, plan.username)
    with keeping() as kept:
        kept.keep_columns(client.url, plan.username, plan.competition)
        kept.keep(
            Record.uploaded(
                plan.entry(),
                submission,
                phase_name=plan.phase.name,
                git_commit=git_commit(),
            )
        )


def _watch(
    client: Client,
    plan: UploadPlan,
    number: int,
    minutes: float | None,
    *,
    as_json: bool,
) -> None:
    from ..codabench import Context, mark_watched

    outcome, _ = watch_to_end(
        client,
        number,
        plan.competition,
        expected=plan.competition.id,
        minutes=minutes,
    )
    context = Context(plan.username, plan.competition, plan.submissions)
    view = SubmissionView.of(client, outcome.submission, context, as_json=as_json)
    view.show()
    try:
        mark_watched(state(), plan, number)
    except StorageError as error:
        warn(str(error))
    show_failure(view, outcome.failed)
    view.finish(wait=outcome.grace, more=_identity(plan))
    require_success(outcome)
