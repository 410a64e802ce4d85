"""Whole programs, by the dozen: a defect that ends one in five of them is in no function."""

import asyncio
import signal
import sys
from pathlib import Path

from test_sdk import Setting

HERE = Path(__file__).parent
TIMES = 12

ENDS = {"closed": 0, "left_open": 0, "let_go": 0, "raises": 1, "exits": 7, "interrupted": -signal.SIGINT}
"""With what each program ends: its own code, and never one of the SDK's."""


class Programs(Setting):
    async def run_program(self, *arguments):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-B", *arguments, cwd=HERE, env={"PATH": "/usr/bin:/bin"},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )
        printed, told = await asyncio.wait_for(process.communicate(), 120)
        return process.returncode, printed.decode(), told.decode()

    async def test_programs_end_as_they_mean_to_however_they_end(self):
        server, app = await self.server()
        await server.start()

        async def one_after_the_other(how):
            return [
                await self.run_program("programs.py", how, server.url, app["app_id"], app["api_key"], self.folder())
                for _ in range(TIMES)
            ]

        all_ended = await asyncio.gather(*(one_after_the_other(how) for how in ENDS))
        for (how, code), ended in zip(ENDS.items(), all_ended):
            for found, _, told in ended:
                self.assertEqual(found, code, f"{how}: {told}")
                for defect in ("fatal", "panicked", "Fatal Python error", "Exception ignored"):
                    self.assertNotIn(defect, told, how)

    async def test_the_quickstart_prints_what_it_sends(self):
        server, app = await self.server()
        await server.start()
        text = "import asyncio, sys; from quickstart import quickstart; asyncio.run(quickstart(*sys.argv[1:]))"
        for _ in range(TIMES):
            code, printed, told = await self.run_program(
                "-c", text, server.url, app["app_id"], app["api_key"], self.folder()
            )
            self.assertEqual((code, told), (0, ""))
            self.assertIn("USER: Hello! (Delivery.SENT())", printed)
            self.assertIn("0 messages wait to be sent", printed)
