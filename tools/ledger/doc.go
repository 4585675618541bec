// Package ledger is an upstream with a small double of a payment system: customers'
// accounts, the payments that they made, and refunds of them, in one SQLite file.
//
// Amounts are whole units of the account's currency, as integers. A payment can be
// refunded in parts, never beyond what was paid. Whatever changes something is bound to
// the broker's call id: the same call, sent again, gets the first answer and changes
// nothing.
package ledger
