package ledger

// schema makes the tables. The constraints hold whatever the code does.
const schema = `
CREATE TABLE IF NOT EXISTS accounts (
	id TEXT PRIMARY KEY, name TEXT NOT NULL, currency TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS payments (
	id TEXT PRIMARY KEY, account TEXT NOT NULL REFERENCES accounts(id),
	amount INTEGER NOT NULL CHECK (amount > 0),
	refunded INTEGER NOT NULL DEFAULT 0 CHECK (refunded BETWEEN 0 AND amount),
	description TEXT NOT NULL, at TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS payments_by_account ON payments(account, at);
CREATE TABLE IF NOT EXISTS refunds (
	id TEXT PRIMARY KEY, payment TEXT NOT NULL REFERENCES payments(id),
	amount INTEGER NOT NULL CHECK (amount > 0), reason TEXT NOT NULL, at TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS calls (
	id TEXT PRIMARY KEY, request TEXT NOT NULL, answer TEXT NOT NULL
) STRICT;
`

// sample is what a new ledger starts with.
const sample = `
INSERT INTO accounts (id, name, currency) VALUES
	('acc-ada', 'Ada Lovelace', 'EUR'), ('acc-alan', 'Alan Turing', 'EUR'), ('acc-grace', 'Grace Hopper', 'USD');
INSERT INTO payments (id, account, amount, description, at) VALUES
	('pay-1001', 'acc-ada', 40, 'Notebook', '2026-10-02T09:15:00Z'),
	('pay-1002', 'acc-ada', 250, 'Analytical engine, first instalment', '2026-10-20T16:40:00Z'),
	('pay-1003', 'acc-alan', 90, 'Chess set', '2026-10-21T11:05:00Z'),
	('pay-1004', 'acc-grace', 1200, 'Workstation', '2026-11-01T08:30:00Z'),
	('pay-1005', 'acc-grace', 15, 'Nanosecond of wire', '2026-11-03T13:00:00Z');
`

// The definitions of the tools.
const (
	accountsTool = `{"name":"accounts","title":"List accounts","description":"Lists all customers' accounts.","inputSchema":{"type":"object","properties":{},"additionalProperties":false},"annotations":{"readOnlyHint":true,"openWorldHint":false}}`

	balanceTool = `{"name":"balance","title":"Balance of an account","description":"What a customer has paid, less refunds, in whole units of the account's currency.","inputSchema":{"type":"object","properties":{"account":{"type":"string","minLength":1,"maxLength":64}},"required":["account"],"additionalProperties":false},"annotations":{"readOnlyHint":true,"openWorldHint":false}}`

	paymentsTool = `{"name":"payments","title":"List payments","description":"Lists an account's payments, the latest first, with what of each was refunded.","inputSchema":{"type":"object","properties":{"account":{"type":"string","minLength":1,"maxLength":64},"limit":{"type":"integer","minimum":1,"maximum":100,"default":20}},"required":["account"],"additionalProperties":false},"annotations":{"readOnlyHint":true,"openWorldHint":false}}`

	chargeTool = `{"name":"charge","title":"Charge a customer","description":"Takes a payment from a customer.","inputSchema":{"type":"object","properties":{"account":{"type":"string","minLength":1,"maxLength":64},"amount":{"type":"integer","minimum":1,"maximum":1000000,"description":"In whole units of the account's currency."},"description":{"type":"string","minLength":1,"maxLength":200}},"required":["account","amount","description"],"additionalProperties":false},"annotations":{"readOnlyHint":false,"destructiveHint":true,"idempotentHint":false,"openWorldHint":false}}`

	refundTool = `{"name":"refund","title":"Refund a payment","description":"Gives back a payment, or part of it. It cannot be undone.","inputSchema":{"type":"object","properties":{"payment":{"type":"string","minLength":1,"maxLength":64},"amount":{"type":"integer","minimum":1,"maximum":1000000,"description":"In whole units of the account's currency; at most what is left of the payment."},"reason":{"type":"string","maxLength":200}},"required":["payment","amount"],"additionalProperties":false},"annotations":{"readOnlyHint":false,"destructiveHint":true,"idempotentHint":false,"openWorldHint":false}}`
)
