"""The OpenAPI document: valid by its own rules, and true of the server."""

import asyncio
import json
import sys
from pathlib import Path

import aiohttp
from openapi_spec_validator import validate

from client import device_auth
from server import PATIENCE
from setting import Setting

CHECKS = [
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance",
    "response_schema_conformance",
]
"""What must be so whatever is asked. Whether a request is taken depends on more than the document can say."""

EXAMPLES = 40
"""Requests for each operation, beside those that each limit in the document leads to. The same ones in each run."""

RUN = 240
"""How many seconds the property run may take before it has hung. It takes some thirty."""

SECRET = "the-secret-of-the-phone-that-is-asked-for"
"""An app may want one, and what is asked may set that."""

LEFT_OUT = ("/v1/admin/app/key", "/v1/admin/app/old-key")
"""What ends the credential that the others are asked with. Tests of their own try them."""

OPEN = ("/v1/auth/sign-in", "/v1/auth/code")
"""What is asked by those who have no credential yet."""


class Document(Setting):
    async def ask(self):
        async with aiohttp.ClientSession() as session, session.get(f"{self.server.url}/openapi.json") as answer:
            self.assertEqual(answer.status, 200)
            return await answer.json()

    async def test_it_is_valid_and_says_who_may_ask_and_what_comes_back(self):
        document = await self.ask()
        validate(document)
        names = set()
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                where = f"{method} {path}"
                names.add(operation["operationId"])
                credentials = {"app", "device", "key"}
                if path.startswith(("/v1/admin/", "/v1/auth/")):
                    credentials = {"agent"}
                if path in OPEN:
                    self.assertNotIn("security", operation, where)
                else:
                    self.assertEqual([set(one) for one in operation["security"]], [credentials], where)
                self.assertLessEqual({"200", "400", "401", "403", "429", "500", "503"}, set(operation["responses"]), where)
                for parameter in operation.get("parameters", []):
                    expected = "path" if f"{{{parameter['name']}}}" in path else "query"
                    if parameter["name"] == "Idempotency-Key":
                        expected = "header"
                    self.assertEqual(parameter["in"], expected, where)
                    self.assertTrue(parameter["description"], where)
        self.assertEqual(len(names), sum(len(operations) for operations in document["paths"].values()))
        send = document["components"]["schemas"]["SendMessage"]["properties"]
        self.assertEqual((send["body"]["maxLength"], send["local_id"]["maxLength"]), (5000, 64))

    async def test_the_server_answers_as_it_says_whatever_it_is_asked(self):
        await self.server.terminate()
        await self.server.start("--rate-limit-device=0", "--rate-limit-agent=0")
        token = await self.server.command(
            "token", "create", "--app", self.app["app_id"], "--name", "All",
            *(f"--permission={name}" for name in [
                "view_sessions", "view_presence", "view_conversations", "send_messages", "manage",
            ]),
        )
        phone = device_auth(self.app, "phone")
        # A conversation that is there, for the operations that name one; and once one that mostly is not.
        config = Path(self.server.folder, "schemathesis.toml")
        config.write_text(f'[parameters]\n"path.id" = {json.dumps(self.conversation_id)}\n')
        for with_conversation in (True, False):
            run = await asyncio.create_subprocess_exec(
                Path(sys.executable).with_name("schemathesis"),
                *(["--config-file", config] if with_conversation else []),
                "run", f"{self.server.url}/openapi.json", "--seed=1", f"--max-examples={EXAMPLES}",
                f"--checks={','.join(CHECKS)}", "--phases=coverage,fuzzing", "--generation-database=none",
                "--suppress-health-check=all", "--no-color", *(f"--exclude-path={path}" for path in LEFT_OUT),
                "--header", f"X-App-Id: {phone['app_id']}", "--header", "X-Device-Id: phone",
                "--header", f"X-Api-Key: {phone['api_key']}", "--header", f"X-Device-Secret: {SECRET}", "--header", f"Authorization: Bearer {token['admin_token']}",
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, cwd=self.server.folder,
            )
            printed, _ = await asyncio.wait_for(run.communicate(), RUN)
            self.assertEqual(run.returncode, 0, printed.decode())
            self.assertIn(f"Tested: {57 - len(LEFT_OUT)}", printed.decode())
        answer = await self.send_once()
        self.assertIn(answer, (200, 201), "and it goes on")

    async def send_once(self):
        """What a message is answered with, over REST."""
        phone = device_auth(self.app, "phone")
        headers = {"X-App-Id": phone["app_id"], "X-Device-Id": "afterwards", "X-Api-Key": phone["api_key"], "X-Device-Secret": SECRET}
        timeout = aiohttp.ClientTimeout(PATIENCE)
        async with aiohttp.ClientSession(headers=headers, timeout=timeout) as session:
            # The phone may be blocked by now, and the conversation resolved.
            async with session.post(f"{self.server.url}/v1/conversations") as opened:
                conversation_id = (await opened.json())["conversation"]["id"]
            url = f"{self.server.url}/v1/conversations/{conversation_id}/messages"
            async with session.post(url, json={"local_id": "after", "body": "still there?"}) as sent:
                return sent.status
