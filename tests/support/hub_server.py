"""A Hugging Face hub on this machine that serves the files of one model repository, for tests of downloads."""

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class HubServer:
    """Use as a context manager; ``url`` is its address, ``downloaded`` the names of requested files."""

    def __init__(self, repository, files):
        self.downloaded, listing = set(), [{"type": "file", "path": name, "size": len(files[name]), "oid": name} for name in files]
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                path = self.path.split("?")[0]
                status, content, headers = 404, b"{}", {}
                if file := re.fullmatch(rf"/{repository}/resolve/(\w+)/(.+)", path):
                    server.downloaded.add(file[2])
                    status, content, headers = 200, files[file[2]], {"ETag": f'"{file[2]}"', "X-Repo-Commit": file[1]}
                elif path.startswith(f"/api/models/{repository}/tree/"):
                    status, content = 200, json.dumps(listing).encode()
                self.send_response(status)
                for name, value in {"Content-Type": "application/json", "Content-Length": len(content), **headers}.items():
                    self.send_header(name, str(value))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(content)

            do_HEAD = do_GET

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"

    def __enter__(self):
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.http.shutdown()
        self.http.server_close()
