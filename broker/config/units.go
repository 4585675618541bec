package config

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Day and Year are the units that a [Duration] has beyond Go's: 24 hours, 365 days.
const (
	Day  = 24 * time.Hour
	Year = 365 * Day
)

// Duration is a time span as deed.yaml writes it: "45s", "1h30m", "90d", "7y",
// larger units first. It is never negative.
type Duration struct{ time.Duration }

// UnmarshalText reads a duration.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := parseDuration(string(text))
	if err != nil {
		return err
	}
	d.Duration = parsed
	return nil
}

// MarshalText writes what UnmarshalText reads.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// String is the duration with years and days: "7y", "1y30d", "45s".
func (d Duration) String() string {
	rest := d.Duration
	var b strings.Builder
	for _, unit := range []struct {
		name string
		span time.Duration
	}{{"y", Year}, {"d", Day}} {
		if n := rest / unit.span; n > 0 {
			fmt.Fprintf(&b, "%d%s", n, unit.name)
			rest -= n * unit.span
		}
	}
	if rest != 0 || b.Len() == 0 {
		b.WriteString(shortClock(rest))
	}
	return b.String()
}

// shortClock is Go's notation without the zero units at its end.
func shortClock(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

var errDuration = errors.New(`is not a duration; write one like "45s", "15m", "90d" or "7y"`)

func parseDuration(s string) (time.Duration, error) {
	rest, total := s, time.Duration(0)
	for _, unit := range []struct {
		name string
		span time.Duration
	}{{"y", Year}, {"d", Day}} {
		digits, after, found := strings.Cut(rest, unit.name)
		if !found {
			continue
		}
		n, err := strconv.ParseUint(digits, 10, 32)
		if err != nil || time.Duration(n) > (math.MaxInt64-total)/unit.span {
			return 0, errDuration
		}
		total += time.Duration(n) * unit.span
		rest = after
	}
	if rest == "" && s != "" {
		return total, nil
	}
	clock, err := time.ParseDuration(rest)
	if err != nil || clock < 0 || strings.HasPrefix(rest, "+") || clock > math.MaxInt64-total {
		return 0, errDuration
	}
	return total + clock, nil
}

// Size is a number of bytes as deed.yaml writes it: "4MiB", "512KiB", "1GiB", "100B".
type Size int64

// UnmarshalText reads a size.
func (s *Size) UnmarshalText(text []byte) error {
	number, unit := splitNumber(string(text))
	n, err := strconv.ParseInt(number, 10, 64)
	scale, known := sizeUnit(unit)
	if err != nil || !known || n > math.MaxInt64/scale {
		return errors.New(`is not a size; write one like "512KiB", "4MiB" or "1GiB"`)
	}
	*s = Size(n * scale)
	return nil
}

// MarshalText writes what UnmarshalText reads.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// String is the size in the largest unit that divides it.
func (s Size) String() string {
	for _, unit := range []string{"GiB", "MiB", "KiB"} {
		if scale, _ := sizeUnit(unit); s != 0 && int64(s)%scale == 0 {
			return strconv.FormatInt(int64(s)/scale, 10) + unit
		}
	}
	return strconv.FormatInt(int64(s), 10) + "B"
}

func sizeUnit(name string) (scale int64, known bool) {
	switch name {
	case "", "B":
		return 1, true
	case "KiB":
		return 1 << 10, true
	case "MiB":
		return 1 << 20, true
	case "GiB":
		return 1 << 30, true
	default:
		return 1, false
	}
}

// Rate is so many of something in a second, minute or hour: "50/s", "300/m", "1000/h".
type Rate struct {
	Count int
	Per   time.Duration
}

// PerSecond is the rate as a number a second.
func (r Rate) PerSecond() float64 {
	if r.Per == 0 {
		return 0
	}
	return float64(r.Count) / r.Per.Seconds()
}

// UnmarshalText reads a rate.
func (r *Rate) UnmarshalText(text []byte) error {
	number, unit, _ := strings.Cut(string(text), "/")
	n, err := strconv.ParseUint(number, 10, 31)
	per := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour}[unit]
	if err != nil || per == 0 {
		return errors.New(`is not a rate; write one like "50/s", "300/m" or "1000/h"`)
	}
	*r = Rate{Count: int(n), Per: per}
	return nil
}

// MarshalText writes what UnmarshalText reads.
func (r Rate) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// String is the rate as deed.yaml writes it.
func (r Rate) String() string {
	unit := map[time.Duration]string{time.Second: "s", time.Minute: "m", time.Hour: "h"}[r.Per]
	return strconv.Itoa(r.Count) + "/" + unit
}

func splitNumber(s string) (digits, unit string) {
	end := strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		return s, ""
	}
	return s[:end], s[end:]
}
