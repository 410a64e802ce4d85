"""Whole programs, by the dozen: a defect that ends one in five of them is in no function."""

import asyncio
import random
import signal
import sys
from pathlib import Path

from server import PATIENCE
from test_sdk import Agent, Setting

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

    async def start_program(self, *arguments):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-B", "programs.py", *arguments, cwd=HERE,
            env={"PATH": "/usr/bin:/bin"},
            stdout=asyncio.subprocess.PIPE, limit=1 << 20,
        )
        self.addCleanup(lambda: process.returncode is None and process.kill())
        return process

    async def line(self, process):
        return (await asyncio.wait_for(process.stdout.readline(), PATIENCE)).decode().strip()

    async def test_what_was_accepted_is_there_once_and_in_order_however_often_the_program_is_killed(self):
        server, app = await self.server()
        await server.start("--rate-limit-device", "0")
        arguments = (server.url, app["app_id"], app["api_key"], self.folder())
        accepted, chance = [], random.Random(12)
        for _ in range(TIMES):
            process = await self.start_program("writes", *arguments)
            accepted.append(await self.line(process))
            await asyncio.sleep(chance.uniform(0.0, 0.4))
            process.kill()
            printed = (await process.stdout.read()).decode()
            # The last line may have been cut.
            accepted += printed.splitlines() if printed.endswith("\n") else printed.splitlines()[:-1]
            await process.wait()
        self.assertGreater(len(accepted), 5 * TIMES)
        process = await self.start_program("drains", *arguments)
        self.assertEqual(await self.line(process), "0")
        await process.wait()
        agent, stored, after = Agent(server, app), [], ""
        [conversation] = await agent.conversations()
        while True:
            page = await agent.request("GET", f"conversations/{conversation}/messages?limit=200&after={after}")
            stored += [message["body"] for message in page["messages"]]
            if not page["has_more"]:
                break
            after = page["messages"][-1]["id"]
        self.assertEqual(len(stored), len(set(stored)), "each once")
        # One more from each life may be there: written, and killed before it was said.
        self.assertEqual([text for text in stored if text in set(accepted)], accepted)
        self.assertLessEqual(len(stored) - len(accepted), TIMES)

    async def test_a_program_that_was_stopped_goes_on(self):
        server, app = await self.server()
        await server.start()
        process = await self.start_program("watches", server.url, app["app_id"], app["api_key"], self.folder())
        self.assertEqual(await self.line(process), "ready 0")
        agent = Agent(server, app)
        [conversation] = await agent.conversations()
        process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(8)
        await agent.write(conversation, "while it was stopped")
        process.send_signal(signal.SIGCONT)
        self.assertEqual(await self.line(process), "while it was stopped")
        await agent.write(conversation, "since")
        self.assertEqual(await self.line(process), "since")

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
