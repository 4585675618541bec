package main

import (
	"os"
	"runtime/debug"
)

// garbagePercent is how much the heap of a broker grows between two collections. Its
// live heap is small beside what calls leave behind: collecting half as often as Go
// does by itself costs some tens of MiB, and spares a twentieth of the work.
const garbagePercent = 200

// spareCollector makes that so, unless whoever starts the broker has set GOGC.
func spareCollector() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbagePercent)
	}
}
