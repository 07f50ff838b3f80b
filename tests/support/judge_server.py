"""An API on this machine that judges as a function says, in the protocols of OpenAI and Anthropic; it counts what it is asked."""

import json
import socket
import threading
import time
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MODEL = "judge-2026-01-01"


class JudgeServer:
    """Use as a context manager; ``url`` is its address, ``prompts`` what it was asked, ``headers`` of the last request.

    decide(prompt, number of the request): {"text", "top": [[token, log-probability]], "finish", "model"}; or {"status", "headers"},
    {"cut": True}, {"hang": seconds}. batch(prompt): the type of a batch's result.
    """

    def __init__(self, decide, batch=lambda prompt: "succeeded"):
        self.decide, self.batch, self.prompts, self.batches, self.headers = decide, batch, [], {}, {}
        self.guard, self.before_batch_reply = threading.Lock(), lambda: None
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                server.get(self, self.path.split("?")[0])

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                server.headers = dict(self.headers)
                server.post(self, self.path, body)

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"

    def __enter__(self):
        threading.Thread(target=self.http.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.http.shutdown()
        self.http.server_close()

    def post(self, handler, path, body):
        if path == "/v1/messages/batches":
            return self.create_batch(handler, body["requests"])
        if "messages" not in body:  # vLLM's /tokenize
            return send(handler, {"error": {"message": "unknown address"}}, 404)
        prompt = body["messages"][-1]["content"]
        with self.guard:
            self.prompts.append(prompt)
            number = len(self.prompts)
        decided = self.decide(prompt, number)
        time.sleep(decided.get("hang", 0))
        if decided.get("cut"):
            handler.close_connection = True
            return handler.connection.shutdown(socket.SHUT_RDWR)
        if "status" in decided:
            return send(handler, {"error": {"message": f"no: {prompt}"}}, decided["status"], decided.get("headers", {}))
        shape = openai_reply if path == "/v1/chat/completions" else anthropic_message
        return send(handler, shape(decided, body))

    def create_batch(self, handler, requests):
        name = f"msgbatch_{len(self.batches)}"
        self.batches[name] = requests
        self.before_batch_reply()
        send(handler, self.describe(name))

    def get(self, handler, path):
        *_, name = path.removesuffix("/results").split("/")
        if path == "/v1/messages/batches":
            return send(
                handler,
                {"data": [self.describe(each) for each in reversed(self.batches)], "has_more": False, "first_id": None, "last_id": None},
            )
        if not path.endswith("/results"):
            return send(handler, self.describe(name))
        lines = []
        for request in reversed(self.batches[name]):
            prompt, kind = request["params"]["messages"][0]["content"], self.batch(request["params"]["messages"][0]["content"])
            result = {"type": kind}
            if kind == "succeeded":
                result["message"] = anthropic_message(self.decide(prompt, 0), request["params"])
            if kind == "errored":
                result["error"] = {"type": "error", "request_id": None, "error": {"type": "api_error", "message": "failed"}}
            lines.append(json.dumps({"custom_id": request["custom_id"], "result": result}))
        return send(handler, "\n".join(lines) + "\n", kind="application/x-jsonl")

    def describe(self, name):
        now = datetime.now(UTC).isoformat()
        counts = {"processing": 0, "succeeded": len(self.batches[name]), "errored": 0, "canceled": 0, "expired": 0}
        times = {"created_at": now, "expires_at": now, "ended_at": now, "archived_at": None, "cancel_initiated_at": None}
        urls = {"results_url": f"{self.url}/v1/messages/batches/{name}/results"}
        return {"id": name, "type": "message_batch", "processing_status": "ended", "request_counts": counts, **times, **urls}


def send(handler, content, status=200, headers=None, kind="application/json"):
    body = (content if isinstance(content, str) else json.dumps(content)).encode()
    handler.send_response(status)
    for name, value in {"Content-Type": kind, "Content-Length": len(body), **(headers or {})}.items():
        handler.send_header(name, str(value))
    handler.end_headers()
    handler.wfile.write(body)


def openai_reply(decided, body):
    logs = None
    if body.get("logprobs") and decided.get("top"):
        top = [{"token": token, "logprob": log, "bytes": None} for token, log in decided["top"]]
        logs = {"content": [{**top[0], "top_logprobs": top}], "refusal": None}
    message = {"role": "assistant", "content": decided.get("text"), "refusal": decided.get("refusal")}
    choice = {"index": 0, "finish_reason": decided.get("finish", "stop"), "message": message, "logprobs": logs}
    usage = {"prompt_tokens": 100, "completion_tokens": 1, "total_tokens": 101}
    choices = [] if decided.get("empty") else [choice]
    return {"id": "1", "object": "chat.completion", "created": 1, "model": decided.get("model", MODEL), "choices": choices, "usage": usage}


def anthropic_message(decided, body):
    content = [{"type": "text", "text": decided.get("text") or ""}]
    usage = {"input_tokens": 100, "output_tokens": 1}
    about = {"model": decided.get("model", MODEL), "stop_reason": decided.get("finish", "end_turn"), "stop_sequence": None, "usage": usage}
    return {"id": "msg", "type": "message", "role": "assistant", "content": content, **about}
