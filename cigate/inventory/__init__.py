"""What the operator knows of agents, users and devices: an id goes in, a record or nothing comes out.

`agent_facts`, `user_facts` and `device_facts` turn a record into its group of the facts. What must always
hold: what the record does not say is absent from the facts, never a default; of somebody unknown only the id
is a fact; posture that is old, from the future or about another device is unknown as a whole (threats A17).

`StaticInventory` holds what gateway.yaml says. A directory or an MDM is another `Inventory`.
"""

from cigate.inventory.record import (
    AgentRecord,
    DeviceRecord,
    Inventory,
    Posture,
    UserRecord,
    agent_facts,
    device_facts,
    user_facts,
)
from cigate.inventory.static import StaticInventory

__all__ = [
    "AgentRecord",
    "DeviceRecord",
    "Inventory",
    "Posture",
    "StaticInventory",
    "UserRecord",
    "agent_facts",
    "device_facts",
    "user_facts",
]
