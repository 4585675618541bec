// Package fastapi holds a FastAPI service and a configuration that puts Deed in front of it,
// for people to start from. The test runs both as they are: every endpoint is called through
// the broker, governed and recorded.
package fastapi
