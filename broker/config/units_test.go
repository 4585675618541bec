package config_test

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/deedbroker/deed/broker/config"
)

func TestDuration(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{
		"45s": 45 * time.Second, "1h30m": 90 * time.Minute, "90d": 90 * config.Day, "7y": 7 * config.Year,
		"1y30d12h": config.Year + 30*config.Day + 12*time.Hour, "0s": 0, "1.5h": 90 * time.Minute,
	} {
		var d config.Duration
		if err := d.UnmarshalText([]byte(text)); err != nil || d.Duration != want {
			t.Errorf("%q is %v, %v; want %v", text, d.Duration, err, want)
		}
	}
	for _, text := range []string{"", "45", "-1s", "+1s", "1d-1h", "y", "d", "1.5d", "1d1y", "400y", "292y365d", "1m1d", "one day", "106751d9000h"} {
		var d config.Duration
		if err := d.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q was read as %v", text, d)
		}
	}
}

func TestDurationReadsWhatItWrites(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := config.Duration{Duration: time.Duration(rapid.Int64Range(0, math.MaxInt64).Draw(t, "ns"))}
		var got config.Duration
		if err := got.UnmarshalText([]byte(want.String())); err != nil || got != want {
			t.Fatalf("%d is written %q and read as %d, %v", want.Duration, want, got.Duration, err)
		}
	})
}

func TestSize(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]config.Size{"4MiB": 4 << 20, "512KiB": 512 << 10, "1GiB": 1 << 30, "100B": 100, "4096": 4096, "0": 0} {
		var s config.Size
		if err := s.UnmarshalText([]byte(text)); err != nil || s != want {
			t.Errorf("%q is %d, %v; want %d", text, s, err, want)
		}
	}
	for _, text := range []string{"", "MiB", "4MB", "-1B", "1.5MiB", "9223372036854775807KiB", "4 MiB"} {
		var s config.Size
		if err := s.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q was read as %d", text, s)
		}
	}
}

func TestSizeReadsWhatItWrites(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := config.Size(rapid.Int64Range(0, math.MaxInt64).Draw(t, "bytes"))
		var got config.Size
		if err := got.UnmarshalText([]byte(want.String())); err != nil || got != want {
			t.Fatalf("%d is written %q and read as %d, %v", want, want.String(), got, err)
		}
	})
}

func TestRate(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]float64{"50/s": 50, "300/m": 5, "3600/h": 1} {
		var r config.Rate
		if err := r.UnmarshalText([]byte(text)); err != nil || r.PerSecond() != want || r.String() != text {
			t.Errorf("%q is %v a second, written %q, %v; want %v", text, r.PerSecond(), r, err, want)
		}
	}
	for _, text := range []string{"", "50", "50/", "/s", "50/d", "-1/s", "1.5/s", "50/s/s"} {
		var r config.Rate
		if err := r.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q was read as %v", text, r)
		}
	}
}
