"""Dashboards as W&B keeps them: a view for each, found again by its title, so that there is never a second one."""

from __future__ import annotations

import json
import os
from contextlib import AbstractContextManager
from typing import Any

import wandb
import wandb_workspaces.reports.v2 as wr
import wandb_workspaces.workspaces as ws
from wandb_workspaces._graphql import execute_graphql

from trainlab.errors import RunError
from trainlab.pages.dashboards import contents
from trainlab.pages.dashboards.contents import same_names

MOST_VIEWS = 500  # of a project that are looked through
VIEWS = """
query ProjectViews($entity: String, $project: String!, $kind: String!, $most: Int!) {
    project(name: $project, entityName: $entity) {
        allViews(viewType: $kind, first: $most) { edges { node { id name displayName } } }
    }
}
"""


def title_of(dashboard: ws.Workspace | wr.Report) -> str:
    """The name under which W&B lists a workspace or a report."""
    return dashboard.name if isinstance(dashboard, ws.Workspace) else dashboard.title


def kind_of(dashboard: ws.Workspace | wr.Report) -> str:
    """W&B's word for it."""
    return "project-view" if isinstance(dashboard, ws.Workspace) else "runs"


def as_sent(dashboard: ws.Workspace | wr.Report) -> AbstractContextManager[None]:
    """Inside, the identifiers are those of this dashboard of this project, and no other's."""
    return same_names(f"{dashboard.entity}/{dashboard.project}/{title_of(dashboard)}")


def sent(dashboard: ws.Workspace | wr.Report) -> dict[str, Any]:
    """What `save` sends of a dashboard, the contents as plain containers."""
    with as_sent(dashboard):
        spec = dashboard._to_model().spec.model_dump_json(by_alias=True, exclude_none=True)
    place = {"entityName": dashboard.entity, "projectName": dashboard.project}
    return {**place, "type": kind_of(dashboard), "displayName": title_of(dashboard), "spec": json.loads(spec)}


def save(entity: str | None, project: str) -> list[tuple[str, str]]:
    """Make them, or bring them up to date; returns title and address of each. entity: None is the account's own.

    Raises RunError for what W&B does not take.
    """
    os.environ.setdefault("WANDB_SILENT", "true")
    try:
        api = wandb.Api()
        owner = entity or str(api.default_entity)
        # The reports first: with the first of them W&B makes a project that is not there.
        reports = [saved(api, report) for report in contents.reports(owner, project)]
        return [*reports, saved(api, contents.workspace(owner, project))]
    except Exception as error:  # W&B raises what its parts raise: of its own, of requests, ValueError
        raise RunError(f"W&B did not take the dashboards ({' '.join(str(error).split())}).") from error


def saved(api: wandb.Api, dashboard: ws.Workspace | wr.Report) -> tuple[str, str]:
    """Write the dashboard to W&B, in the place of one of this name if there is one; returns its title and its URL."""
    asked = {
        "entity": dashboard.entity,
        "project": dashboard.project,
        "kind": kind_of(dashboard),
        "most": MOST_VIEWS,
    }
    there = execute_graphql(api, VIEWS, asked).get("project") or {"allViews": {"edges": []}}
    views = [edge["node"] for edge in there["allViews"]["edges"]]
    before = next((view for view in views if view["displayName"] == title_of(dashboard)), None)
    if before is not None:
        if isinstance(dashboard, ws.Workspace):
            dashboard._internal_id, dashboard._internal_name = before["id"], before["name"]
        else:
            dashboard.id = before["id"]
    with as_sent(dashboard):
        dashboard.save()
    return title_of(dashboard), dashboard.url
