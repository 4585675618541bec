"""A small CRM as any team might have it. It knows nothing of Deed.

    pip install -r requirements.txt && CRM_KEY=secret uvicorn crm:app --port 8000
"""

import os
from typing import Annotated

from fastapi import Depends, FastAPI, Header, HTTPException, Query, Response
from fastapi.security import APIKeyHeader
from pydantic import BaseModel, Field


def check_key(key: Annotated[str, Depends(APIKeyHeader(name="X-Api-Key"))]) -> None:
    if key != os.environ["CRM_KEY"]:
        raise HTTPException(401, "wrong key")


app = FastAPI(title="CRM", version="1.4.0", dependencies=[Depends(check_key)])


class Address(BaseModel):
    city: str
    country: str = Field(pattern="^[A-Z]{2}$")


class NewCustomer(BaseModel):
    name: str = Field(min_length=1)
    email: str
    credit: int = Field(0, ge=0, description="Credit limit in euros.")
    address: Address | None = None


class Customer(NewCustomer):
    id: int


class Note(BaseModel):
    text: str
    parent: "Note | None" = None


customers: dict[int, Customer] = {}
notes: dict[int, list[Note]] = {}
seen: dict[str, int] = {}


def found(customer_id: int) -> Customer:
    if customer_id not in customers:
        raise HTTPException(404, f"there is no customer {customer_id}")
    return customers[customer_id]


@app.get("/customers", tags=["customers"])
def list_customers(
    q: Annotated[str | None, Query(description="Part of the name.")] = None,
    country: Annotated[list[str] | None, Query()] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> list[Customer]:
    """The customers, by id."""
    chosen = [
        c
        for c in customers.values()
        if (not q or q.lower() in c.name.lower()) and (not country or (c.address and c.address.country in country))
    ]
    return chosen[:limit]


@app.post("/customers", tags=["customers"], status_code=201)
def create_customer(new: NewCustomer, idempotency_key: Annotated[str | None, Header()] = None) -> Customer:
    """Adds a customer. The same idempotency key adds one once."""
    if idempotency_key and idempotency_key in seen:
        return customers[seen[idempotency_key]]
    customer = Customer(id=len(customers) + 1, **new.model_dump())
    customers[customer.id] = customer
    if idempotency_key:
        seen[idempotency_key] = customer.id
    return customer


@app.get("/customers/{customer_id}", tags=["customers"])
def get_customer(customer_id: int) -> Customer:
    return found(customer_id)


@app.put("/customers/{customer_id}", tags=["customers"])
def replace_customer(customer_id: int, new: NewCustomer) -> Customer:
    found(customer_id)
    customers[customer_id] = Customer(id=customer_id, **new.model_dump())
    return customers[customer_id]


@app.delete("/customers/{customer_id}", tags=["customers"], status_code=204)
def delete_customer(customer_id: int) -> None:
    found(customer_id)
    del customers[customer_id]


@app.post("/customers/{customer_id}/notes", tags=["notes"], status_code=201)
def add_note(customer_id: int, note: Note) -> int:
    """Adds a note, and answers how many there are."""
    found(customer_id)
    notes.setdefault(customer_id, []).append(note)
    return len(notes[customer_id])


@app.get("/customers/{customer_id}/card", tags=["notes"], responses={200: {"content": {"text/plain": {}}}}, response_class=Response)
def card(customer_id: int) -> Response:
    customer = found(customer_id)
    return Response(f"{customer.name} <{customer.email}>", media_type="text/plain")


@app.post("/admin/wipe", tags=["admin"])
def wipe() -> dict[str, int]:
    """Forgets everything."""
    n = len(customers)
    customers.clear()
    return {"forgotten": n}
