"""An HTTP server on this machine for tests, one thread per connection, its answers made under a lock."""

import json
import threading
from abc import ABC, abstractmethod
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class LocalServer(ABC):
    """Use as a context manager, then ``url`` is its address. A subclass has ``respond``.

    log: what was asked, as the subclass notes it; fail: {what is asked: HTTP status to give instead}.
    """

    def __init__(self):
        self.log, self.fail, self.lock = [], {}, threading.Lock()

    @abstractmethod
    def respond(self, method, path, headers, body):
        """(status, content: bytes or what becomes JSON, {header: value}) of a request."""

    def __enter__(self):
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def answer(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                with server.lock:
                    status, content, headers = server.respond(self.command, self.path.split("?")[0], self.headers, body)
                content = content if isinstance(content, bytes) else json.dumps(content).encode()
                self.send_response(status)
                for name, value in {"Content-Type": "application/json", "Content-Length": str(len(content)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)

            do_GET = do_HEAD = do_POST = do_PUT = answer

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.http.shutdown()
        self.http.server_close()
