"""Talking: joining, sending, hearing, typing, receipts."""

from setting import Setting


class Talking(Setting):
    async def test_a_join_with_a_cursor_carries_what_followed_it(self):
        phone, ada = await self.both()
        sent = [
            (await phone.done("message:send", self.send(local_id)))["message"] for local_id in ("l1", "l2", "l3")
        ]
        in_conversation = {"conversation_id": self.conversation_id}
        last = {"last_message_id": sent[2]["id"], "last_seq": 3}
        some = await ada.done("conversation:join", {**in_conversation, "after": sent[0]["id"]})
        receipts = dict.fromkeys(["user_delivered_seq", "user_read_seq", "agent_delivered_seq", "agent_read_seq"], 0)
        # What the team does and notes beside the messages is counted for agents alone.
        answer = {"success": True, **last, "last_activity": 0}
        self.assertEqual(some, {**answer, "messages": sent[1:], "has_more": False, "receipts": receipts})
        self.assertEqual(await ada.expect("conversation:joined"), {**in_conversation, **last})
        all_of_them = await ada.done("conversation:join", {**in_conversation, "after": ""})
        self.assertEqual(all_of_them["messages"], sent)
        none = await ada.done("conversation:join", in_conversation)
        self.assertEqual(none, answer)

    async def test_a_join_takes_a_bare_id_as_early_sdks_send_it(self):
        phone = await self.device()
        await phone.done("conversation:leave", self.conversation_id)
        answer = await phone.done("conversation:join", self.conversation_id)
        self.assertEqual(answer, {"success": True, "last_seq": 0})
        self.assertEqual(await phone.refused("conversation:join", "conv_other"), "CONVERSATION_NOT_FOUND")

    async def test_a_retry_gets_the_stored_message_and_is_told_to_nobody(self):
        phone, ada = await self.both()
        message = (await phone.done("message:send", self.send("l1")))["message"]
        self.assertEqual((message["seq"], message["sender"]), (1, "user"))
        self.assertEqual((await phone.done("message:send", self.send("l1")))["message"], message)
        self.assertEqual(await phone.refused("message:send", self.send("l1", "Another")), "LOCAL_ID_CONFLICT")
        self.assertEqual(await phone.settled("message:new"), [message])
        self.assertEqual(await ada.settled("message:new"), [message])

    async def test_a_failure_without_an_ack_callback_is_an_error_event(self):
        phone = await self.device()
        await phone.socket.emit("message:send", self.send("l1", "x" * 5001), namespace="/client")
        self.assertEqual((await phone.expect("error"))["code"], "MESSAGE_TOO_LONG")

    async def test_both_sides_hear_both_sides_and_an_inbox_hears_of_everything(self):
        phone, ada = await self.both()
        grace = await self.agent()
        from_phone = (await phone.done("message:send", self.send("l1", "Hello 👋")))["message"]
        from_ada = (await ada.done("message:send", self.send("l2", "Hi")))["message"]
        self.assertEqual((from_ada["sender"], from_ada["sender_name"]), ("agent", "Ada"))
        for client in (phone, ada):
            self.assertEqual(await client.expect("message:new"), from_phone)
            self.assertEqual(await client.expect("message:new"), from_ada)
        # She has joined nothing, and has an inbox all the same.
        updated = await grace.expect("conversation:updated", lambda data: data["last_message"]["id"] == from_ada["id"])
        self.assertEqual(updated["conversation"]["last_seq"], 2)
        self.assertEqual(await grace.settled("message:new"), [])

    async def test_each_side_sees_the_other_type(self):
        phone, ada = await self.both()
        in_conversation = {"conversation_id": self.conversation_id}
        for event, is_typing in (("typing:start", True), ("typing:stop", False)):
            await phone.done(event, in_conversation)
            seen = await ada.expect("user:typing")
            self.assertEqual(seen, {**in_conversation, "device_id": "phone", "is_typing": is_typing})
            await ada.done(event, in_conversation)
            self.assertEqual(await phone.expect("agent:typing"), {**in_conversation, "is_typing": is_typing})

    async def test_receipts_move_the_status_forward_for_both_sides_to_see(self):
        phone, ada = await self.both()
        message = (await ada.done("message:send", self.send("l1")))["message"]
        up_to = {"conversation_id": self.conversation_id, "up_to_message_id": message["id"]}
        await phone.done("delivery:receipt", {"message_id": message["id"]})
        await phone.done("message:read", up_to)
        # Backwards it does not go.
        await phone.done("delivery:receipt", up_to)
        for client in (phone, ada):
            statuses = await client.settled("message:status")
            seen = [(status["status"], status["up_to_seq"], status["by"]) for status in statuses]
            self.assertEqual(seen, [("delivered", 1, "user"), ("read", 1, "user")])
