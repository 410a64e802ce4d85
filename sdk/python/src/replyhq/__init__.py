"""Support chat for Python programs on asyncio. The same client as in mobile apps: docs/sdk/python.md."""

from .client import Client, ReplyHQError
from .replyhq_sdk import (
    ChatEvent,
    ClientState,
    ConnectionState,
    ConversationStatus,
    ConversationSummary,
    Delivery,
    LogLevel,
    Sender,
    Timeline,
    TimelineItem,
)

__all__ = [
    "ChatEvent",
    "Client",
    "ClientState",
    "ConnectionState",
    "ConversationStatus",
    "ConversationSummary",
    "Delivery",
    "LogLevel",
    "ReplyHQError",
    "Sender",
    "Timeline",
    "TimelineItem",
]
