"""What the server on loopback answers to each GraphQL query of W&B's client: the least that satisfies it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wandb_server import WandbServer

ENTITY = "lab"
Answer = Callable[["WandbServer", dict[str, Any]], dict[str, Any]]


def viewer(server: WandbServer, given: dict[str, Any]) -> dict[str, Any]:
    teams = {"edges": [{"node": {"name": ENTITY}}]}
    return {"viewer": {"id": "U1", "entity": ENTITY, "username": ENTITY, "email": "", "flags": "{}", "teams": teams}}


def resume_status(server: WandbServer, given: dict[str, Any]) -> dict[str, Any]:
    run = server.runs.get(given["name"])
    if run is None:
        return {"model": {"name": given["project"], "entity": {"name": ENTITY}, "bucket": None}}
    bucket = {
        "name": given["name"],
        "summaryMetrics": json.dumps(run.summary),
        "displayName": run.fields.get("displayName"),
        "logLineCount": len(run.lines.get("output.log", {})),
        "historyLineCount": len(run.history_lines),
        "eventsLineCount": len(run.lines.get("wandb-events.jsonl", {})),
        "historyTail": json.dumps(run.history_lines[-1:]),
        "eventsTail": "[]",
        "config": run.fields.get("config") or "{}",
        "tags": run.fields.get("tags") or [],
        "notes": "",
        "wandbConfig": '{"t": 1}',
    }
    return {"model": {"name": given["project"], "entity": {"name": ENTITY}, "bucket": bucket}}


def upsert_run(server: WandbServer, given: dict[str, Any]) -> dict[str, Any]:
    inserted = given["name"] not in server.runs
    run = server.run_named(given["name"])
    server.projects.add(given["project"])
    run.fields |= {key: value for key, value in given.items() if value is not None}
    bucket = {
        "id": given["name"],
        "name": given["name"],
        "displayName": run.fields.get("displayName"),
        "description": "",
        "config": run.fields.get("config") or "{}",
        "sweepName": None,
        "project": {"id": "P1", "name": given["project"], "entity": {"id": "E1", "name": ENTITY}},
        "historyLineCount": len(run.history_lines),
    }
    return {"upsertBucket": {"bucket": bucket, "inserted": inserted}}


def run_files(server: WandbServer, given: dict[str, Any]) -> dict[str, Any]:
    files = [{"name": name, "uploadUrl": f"{server.address}/uploads/{given['run']}/{name}"} for name in given["files"]]
    return {"createRunFiles": {"runID": given["run"], "uploadHeaders": [], "files": files}}


def create_artifact(server: WandbServer, given: dict[str, Any]) -> dict[str, Any]:
    sent = given["input"]
    identity = f"A{len(server.artifacts) + 1}"
    server.artifacts[identity] = sent | {"files": {}, "committed": False}
    return {
        "createArtifact": {
            "artifact": {"id": identity, "state": "PENDING", "artifactSequence": {"latestArtifact": None}}
        }
    }


def create_manifest(server: WandbServer, given: dict[str, Any]) -> dict[str, Any]:
    identity = given["artifactID"]
    return {"createArtifactManifest": {"artifactManifest": {"id": identity, "file": manifest_file(server, identity)}}}


def update_manifest(server: WandbServer, given: dict[str, Any]) -> dict[str, Any]:
    identity = given["artifactManifestID"]
    return {"updateArtifactManifest": {"artifactManifest": {"id": identity, "file": manifest_file(server, identity)}}}


def manifest_file(server: WandbServer, identity: str) -> dict[str, Any]:
    return {"id": identity, "uploadUrl": f"{server.address}/artifacts/{identity}/manifest", "uploadHeaders": []}


def artifact_files(server: WandbServer, given: dict[str, Any]) -> dict[str, Any]:
    nodes = [
        {
            "id": f"{file['artifactID']}/{file['name']}",
            "name": file["name"],
            "displayName": file["name"],
            "storagePath": file["name"],
            "uploadUrl": f"{server.address}/artifacts/{file['artifactID']}/{file['name']}",
            "uploadHeaders": [],
            "uploadMultipartUrls": None,
            "artifact": {"id": file["artifactID"]},
        }
        for file in given["input"]["artifactFiles"]
    ]
    return {"createArtifactFiles": {"files": {"edges": [{"node": node} for node in nodes]}}}


def commit_artifact(server: WandbServer, given: dict[str, Any]) -> dict[str, Any]:
    server.artifacts[given["artifactID"]]["committed"] = True
    return {"commitArtifact": {"artifact": {"id": given["artifactID"], "digest": ""}}}


def project_views(server: WandbServer, given: dict[str, Any]) -> dict[str, Any]:
    found = [view for view in server.views.values() if view["type"] == given["kind"]]
    return {"project": {"allViews": {"edges": [{"node": view} for view in found]}}}


def upsert_view(server: WandbServer, given: dict[str, Any]) -> dict[str, Any]:
    """Workspaces and reports; `description` and more are as they come."""
    identity = given.get("id") or f"V{len(server.views) + 1}"
    inserted = identity not in server.views
    project = {"id": "P1", "name": given["projectName"], "entityName": given["entityName"]}
    server.views[identity] = given | {"id": identity, "project": project}
    return {"upsertView": {"view": server.views[identity], "inserted": inserted}}


def projects(server: WandbServer, given: dict[str, Any]) -> dict[str, Any]:
    page = {"__typename": "PageInfo", "endCursor": None, "hasNextPage": False}
    return {"models": {"pageInfo": page, "edges": [{"node": project(name)} for name in sorted(server.projects)]}}


def create_project(server: WandbServer, given: dict[str, Any]) -> dict[str, Any]:
    name = given["input"]["name"]
    inserted = name not in server.projects
    server.projects.add(name)
    return {"result": {"project": project(name), "model": project(name), "inserted": inserted}}


def project(name: str) -> dict[str, Any]:
    made = {
        "__typename": "Project",
        "id": name,
        "name": name,
        "entityName": ENTITY,
        "createdAt": "2026-11-26T00:00:00Z",
    }
    return made | {"isBenchmark": False, "user": None, "description": "", "access": "PRIVATE", "views": "{}"}


ANSWERS: dict[str, Answer] = {
    "GetProjects": projects,
    "CreateProject": create_project,
    "ProjectViews": project_views,
    "upsertView": upsert_view,
    "UpsertView2": upsert_view,
    "CreateArtifact": create_artifact,
    "CreateArtifactManifest": create_manifest,
    "UpdateArtifactManifest": update_manifest,
    "CreateArtifactFiles": artifact_files,
    "CommitArtifact": commit_artifact,
    "UseArtifact": lambda server, given: {"useArtifact": {"artifact": {"id": "A"}}},
    "ArtifactType": lambda server, given: {"project": {"artifact": None}},
    "OrganizationCoreWeaveOrganizationID": lambda server, given: {"entity": {"organization": None}},
    "Viewer": viewer,
    "GetDefaultEntity": viewer,
    "ServerFeaturesQuery": lambda server, given: {"serverInfo": {"features": []}},
    "RunResumeStatus": resume_status,
    "UpsertBucket": upsert_run,
    "CreateRunFiles": run_files,
}
