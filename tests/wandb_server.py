"""A W&B server for tests, on this machine alone: it keeps runs, their histories and artifacts, and can be told to fail."""

import base64
import json

from tests.local_server import LocalServer

ENTITY = "tester"
ENTITY_NODE = {"id": "E", "name": ENTITY}


class WandbServer(LocalServer):
    """The state behind the requests.

    key: the only API key it takes. runs: {run id: {"history", "summary", "state", "config", ...}};
    artifacts: {key: {"name", "digest", "aliases", "committed", ...}}; uploads: {place: bytes}; log: [(what was asked, run or file)].
    fail: {what is asked: HTTP status}.
    """

    def __init__(self, key):
        super().__init__()
        self.key, self.runs, self.artifacts, self.uploads = key, {}, {}, {}

    def manifest_of(self, name):
        """{path: base64 MD5} of an artifact's manifest, as it was uploaded."""
        content = json.loads(self.uploads[f"{self.key_of(name)}/wandb_manifest.json"])["contents"]
        return {path: entry["digest"] for path, entry in content.items()}

    def files_of(self, name):
        """{path: bytes} of an artifact's files, as they were uploaded."""
        prefix = f"{self.key_of(name)}/files/"
        return {place.removeprefix(prefix): content for place, content in self.uploads.items() if place.startswith(prefix)}

    def key_of(self, name):
        """The key of the one committed artifact of a name."""
        (key,) = (key for key, known in self.artifacts.items() if known["name"] == name and known["committed"])
        return key

    def respond(self, method, path, headers, body):
        if path.startswith("/storage/"):
            return self.storage(method, path, body)
        expected = base64.b64encode(f"api:{self.key}".encode()).decode()
        if headers.get("Authorization") != f"Basic {expected}":
            return 401, {"errors": [{"message": "invalid credentials"}]}, {}
        if path.endswith("/file_stream"):
            return self.file_stream(path.split("/")[-2], json.loads(body))
        query = json.loads(body)
        name = query.get("operationName") or query["query"].split("(")[0].split("{")[0].split()[-1]
        self.log.append((name, json.dumps(query.get("variables"))))
        if name in self.fail:
            return self.fail[name], {"errors": [{"message": "the server fails"}]}, {}
        handler = getattr(self, f"do_{name}", None)
        return 200, {"data": handler(**query.get("variables") or {}) if handler else {}}, {}

    def storage(self, method, path, body):
        """Files by their upload address."""
        name = path.removeprefix("/storage/")
        if "storage" in self.fail:
            return self.fail["storage"], b"", {}
        if method == "PUT":
            self.log.append(("storage", name))
            self.uploads[name] = body
            return 200, b"", {}
        return (200, self.uploads[name], {}) if name in self.uploads else (404, b"", {})

    def file_stream(self, run_id, body):
        """History, summary and the end of a run, as the client streams them."""
        self.log.append(("file_stream", run_id))
        if "file_stream" in self.fail:
            return self.fail["file_stream"], {}, {}
        run = self.runs[run_id]
        files = body.get("files") or {}
        run["history"] += map(json.loads, files.get("wandb-history.jsonl", {}).get("content", []))
        for line in files.get("wandb-summary.json", {}).get("content", []):
            run["summary"] = json.loads(line)
        if body.get("complete"):
            run["state"] = "failed" if body.get("exitcode") else "finished"
        return 200, {}, {}

    def do_Viewer(self):
        return {"viewer": {"id": "U", "entity": ENTITY, "username": ENTITY, "email": "", "flags": "{}", "teams": {"edges": []}}}

    do_GetDefaultEntity = do_Viewer

    def do_RunResumeStatus(self, name, **_):
        run = self.runs.get(name)
        return {"model": {"id": "P", "name": "", "entity": ENTITY_NODE, "bucket": run and self.described(name)}}

    def do_Run(self, name, **_):
        return {"project": {"run": self.described(name) if name in self.runs else None}}

    def do_UpsertBucket(self, name, project=None, config=None, **facts):
        new = name not in self.runs
        run = self.runs.setdefault(name, {"history": [], "summary": {}, "state": "running", "config": {}, "project": project})
        run["state"] = "running"
        run["config"].update(json.loads(config or "{}"))
        run.update({key: value for key, value in facts.items() if value is not None})
        return {"upsertBucket": {"bucket": self.described(name), "inserted": new}}

    def described(self, name):
        """A run with all the fields that the client asks for in one or another place."""
        run = self.runs[name]
        return {
            "id": f"id-{name}",
            "name": name,
            "displayName": run.get("displayName"),
            "group": run.get("groupName"),
            "jobType": run.get("jobType"),
            "state": run["state"],
            "config": json.dumps(run["config"]),
            "summaryMetrics": json.dumps(run["summary"]),
            "systemMetrics": "{}",
            "historyLineCount": len(run["history"]),
            "historyTail": json.dumps([json.dumps(row) for row in run["history"][-1:]]),
            "eventsTail": "[]",
            "eventsLineCount": 0,
            "logLineCount": 0,
            "historyKeys": None,
            "project": {"id": "P", "name": run["project"], "entity": ENTITY_NODE},
            "projectId": "1",
            "tags": [],
            "user": {"name": ENTITY, "username": ENTITY},
            "wandbConfig": '{"t": 1}',
            **dict.fromkeys(("commit", "createdAt", "description", "heartbeatAt", "notes", "readOnly", "sweepName")),
        }

    def find_artifact(self, name):
        """The key of the newest committed artifact of collection:alias, or None."""
        collection, alias = name.split(":")
        keys = [
            key for key, each in self.artifacts.items() if each["name"] == collection and alias in each["aliases"] and each["committed"]
        ]
        return keys[-1] if keys else None

    def do_CreateRunFiles(self, run, files, **_):
        nodes = [{"name": name, "uploadUrl": f"{self.url}/storage/{run}/{name}"} for name in files]
        return {"createRunFiles": {"runID": run, "uploadHeaders": [], "files": nodes}}

    def do_ArtifactType(self, name, **_):
        key = self.find_artifact(name)
        return {"project": {"artifact": key and self.artifact_node(key)}}

    def do_ServerFeaturesQuery(self):
        return {"serverInfo": {"features": []}}

    def do_CreateArtifact(self, input):
        """A new artifact, or the committed one of the same content."""
        name, digest = input["artifactCollectionName"], input["digest"]
        aliases = {entry["alias"] for entry in input["aliases"]}
        for key, known in self.artifacts.items():
            if (known["name"], known["digest"], known["committed"]) == (name, digest, True):
                known["aliases"] |= aliases
                return {"createArtifact": {"artifact": self.artifact_node(key)}}
        key = f"artifact-{len(self.artifacts)}"
        facts = {"name": name, "type": input["artifactTypeName"], "digest": digest, "metadata": input["metadata"], "run": input["runName"]}
        self.artifacts[key] = {**facts, "aliases": aliases, "committed": False}
        return {"createArtifact": {"artifact": self.artifact_node(key)}}

    def artifact_node(self, key):
        """An artifact with all the fields that the client asks for in one or another place."""
        known = self.artifacts[key]
        project = {"id": "P", "internalId": "1", "name": self.runs[known["run"]]["project"], "entity": {"name": ENTITY}}
        collection = {"__typename": "ArtifactSequence", "name": known["name"], "project": project}
        aliases = [
            {"__typename": "ArtifactAlias", "id": alias, "alias": alias, "artifactCollection": collection} for alias in known["aliases"]
        ]
        return {
            "__typename": "Artifact",
            "id": key,
            "state": "COMMITTED" if known["committed"] else "PENDING",
            "artifactSequence": {**collection, "id": known["name"], "latestArtifact": None},
            "artifactType": {"name": known["type"]},
            "metadata": known["metadata"],
            "digest": known["digest"],
            "aliases": aliases,
            "versionIndex": 0,
            "tags": [],
            "ttlDurationSeconds": -2,
            "ttlIsInherited": False,
            "size": 0,
            "fileCount": 0,
            "createdAt": "2026-01-01T00:00:00Z",
            **dict.fromkeys(("description", "historyStep", "commitHash", "updatedAt")),
        }

    def do_ArtifactByID(self, id, **_):
        return {"artifact": self.artifact_node(id)}

    def do_ArtifactMembershipByName(self, name, **_):
        key = self.find_artifact(name)
        if key is None:
            return {"project": {"artifactCollectionMembership": None}}
        artifact = self.artifact_node(key)
        membership = {
            "__typename": "ArtifactCollectionMembership",
            "id": f"member-{key}",
            "versionIndex": 0,
            "createdAt": artifact["createdAt"],
        }
        facts = {"artifact": artifact, "aliases": artifact["aliases"], "artifactCollection": artifact["artifactSequence"]}
        return {"project": {"artifactCollectionMembership": {**membership, **facts}}}

    def do_CreateArtifactManifest(self, artifactID, name, **_):
        return {"createArtifactManifest": {"artifactManifest": self.manifest_node(artifactID, name)}}

    def do_UpdateArtifactManifest(self, artifactManifestID, **_):
        return {"updateArtifactManifest": {"artifactManifest": self.manifest_node(artifactManifestID, "wandb_manifest.json")}}

    def manifest_node(self, artifact, name):
        file = {"id": f"{artifact}-manifest", "uploadUrl": f"{self.url}/storage/{artifact}/{name}", "uploadHeaders": []}
        return {"id": artifact, "file": file}

    def do_CreateArtifactFiles(self, input):
        nodes = []
        for file in input["artifactFiles"]:
            place = f"{file['artifactID']}/files/{file['name']}"
            address = {"storagePath": place, "uploadUrl": f"{self.url}/storage/{place}", "uploadHeaders": [], "uploadMultipartUrls": None}
            nodes.append({"node": {**address, "artifact": {"id": file["artifactID"]}}})
        return {"createArtifactFiles": {"files": {"edges": nodes}}}

    def do_CommitArtifact(self, artifactID):
        self.artifacts[artifactID]["committed"] = True
        return {"commitArtifact": {"artifact": self.artifact_node(artifactID)}}
