"""A Hugging Face hub for tests, on this machine alone: model repositories with commits, one token, and failures on demand."""

import base64
import hashlib
import json
import re

from tests.local_server import LocalServer


def git_blob_id(content):
    """What `git hash-object` says."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class HubServer(LocalServer):
    """The state behind the requests.

    token: the only one it takes. repositories: {owner/name: {"private", "files": {name: bytes}, "lfs": names stored apart,
    "commits": [message]}}; downloaded: names of files that were asked for; log and fail go by the names in ROUTES.
    """

    def __init__(self, token):
        super().__init__()
        self.token, self.repositories, self.large, self.downloaded = token, {}, {}, set()

    ROUTES = (
        ("GET", r"/api/models/([^/]+/[^/]+)", "info"),
        ("POST", r"/api/repos/create", "create"),
        ("POST", r"/api/validate-yaml", "validate"),
        ("POST", r"/api/models/([^/]+/[^/]+)/preupload/main", "preupload"),
        ("POST", r"/([^/]+/[^/]+)\.git/info/lfs/objects/batch", "batch"),
        ("PUT", r"/large/(\w+)", "upload"),
        ("POST", r"/api/models/([^/]+/[^/]+)/commit/main", "commit"),
        ("GET", r"/api/models/([^/]+/[^/]+)/revision/\w+", "info"),
        ("GET", r"/api/models/([^/]+/[^/]+)/tree/\w+", "tree"),
        ("HEAD", r"/([^/]+/[^/]+)/resolve/(\w+)/(.+)", "file"),
        ("GET", r"/([^/]+/[^/]+)/resolve/(\w+)/(.+)", "file"),
    )

    def respond(self, method, path, headers, body):
        for wanted, pattern, name in self.ROUTES:
            found = re.fullmatch(pattern, path)
            if method == wanted and found:
                self.log.append(name)
                if name in self.fail:
                    return self.fail[name], {"error": "the hub fails"}, {}
                if name != "upload" and headers.get("Authorization") != f"Bearer {self.token}":
                    return 401, {"error": "Invalid credentials in Authorization header"}, {}
                return getattr(self, name)(*found.groups(), body)
        return 404, {"error": f"no such route: {method} {path}"}, {}

    def info(self, repository, _):
        known = self.repositories.get(repository)
        if known is None:
            return 404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"}
        files = []
        for name, content in known["files"].items():
            entry = {"rfilename": name, "size": len(content), "blobId": git_blob_id(content)}
            if name in known["lfs"]:
                entry["lfs"] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 134}
                entry["blobId"] = git_blob_id(b"a pointer to " + name.encode())
            files.append(entry)
        facts = {"id": repository, "modelId": repository, "private": known["private"], "sha": self.head(known)}
        return 200, {**facts, "siblings": files, "tags": [], "downloads": 0, "likes": 0}, {}

    def tree(self, repository, _):
        files = self.repositories[repository]["files"].items()
        return 200, [{"type": "file", "path": name, "size": len(content), "oid": git_blob_id(content)} for name, content in files], {}

    def file(self, repository, revision, name, _):
        content = self.repositories[repository]["files"].get(name)
        if content is None:
            return 404, {"error": "no such file"}, {"X-Error-Code": "EntryNotFound"}
        self.downloaded.add(name)
        return 200, content, {"ETag": f'"{git_blob_id(content)}"', "X-Repo-Commit": revision}

    def head(self, known):
        """A commit id that tells commits apart."""
        return hashlib.sha1(repr(known["commits"]).encode()).hexdigest()

    def create(self, body):
        wanted = json.loads(body)
        repository = f"{wanted['organization']}/{wanted['name']}"
        self.repositories[repository] = {"private": wanted.get("visibility") == "private", "files": {}, "lfs": set(), "commits": []}
        return 200, {"url": f"{self.url}/{repository}"}, {}

    def validate(self, _):
        return 200, {"errors": [], "warnings": []}, {}

    def preupload(self, _, body):
        modes = [
            {"path": file["path"], "uploadMode": "lfs" if file["path"].endswith(".safetensors") else "regular", "shouldIgnore": False}
            for file in json.loads(body)["files"]
        ]
        return 200, {"files": modes}, {}

    def batch(self, _, body):
        objects = [
            {**entry, "actions": {"upload": {"href": f"{self.url}/large/{entry['oid']}", "header": {}}}}
            for entry in json.loads(body)["objects"]
        ]
        return 200, {"transfer": "basic", "objects": objects}, {}

    def upload(self, oid, body):
        self.large[oid] = body
        return 200, {}, {}

    def commit(self, repository, body):
        known, message = self.repositories[repository], None
        for line in map(json.loads, body.decode().splitlines()):
            value = line["value"]
            if line["key"] == "header":
                message = value["summary"]
                if value.get("parentCommit") not in (None, self.head(known)):
                    return 412, {"error": "A commit has happened since"}, {}
            elif line["key"] == "file":
                known["files"][value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                known["files"][value["path"]] = self.large[value["oid"]]
                known["lfs"].add(value["path"])
        known["commits"].append(message)
        return 200, {"commitOid": self.head(known), "commitUrl": f"{self.url}/{repository}/commit/main", "success": True}, {}
