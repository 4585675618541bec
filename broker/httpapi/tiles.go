package httpapi

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/broker"
)

// A log's tiles, as C2SP tlog-tiles says, so that tools that know nothing of Deed can
// monitor and verify it: /v1/logs/{domain}/{topic}/checkpoint, …/tile/<L>/<N>[.p/<W>]
// and …/tile/entries/<N>[.p/<W>].
const (
	tileHeight = 8
	tileWidth  = 1 << tileHeight
	// entriesName is the level of the tiles that hold the records themselves.
	entriesName = "entries"

	mediaTile = "application/octet-stream"
	mediaText = "text/plain; charset=utf-8"
)

// showLog serves GET /v1/logs/{domain}/{topic}/{path...}.
func (a *api) showLog(w http.ResponseWriter, r *http.Request, v *viewer) error {
	if err := parse(r.URL.RawQuery).err; err != nil {
		return err
	}
	log := r.PathValue("domain") + "/" + r.PathValue("topic")
	note, c, err := a.latest(v, log)
	if err != nil {
		return err
	}
	path := r.PathValue("path")
	if path == "checkpoint" {
		writeBytes(w, http.StatusOK, mediaText, []byte(note))
		return nil
	}
	t, entries, ok := parseTile(path)
	if !ok || t.N > math.MaxInt64>>(tileHeight*(t.L+1)) || ((t.N<<tileHeight)+int64(t.W))<<(tileHeight*t.L) > c.Size {
		return notFound("there is no such tile of the tree that was signed last")
	}
	var body []byte
	if entries {
		if err := a.cfg.Broker.Browsing(r.Context(), v.id, audit.Reading{What: audit.ReadRecords, For: log}); err != nil {
			return err
		}
		body, err = a.entries(r.Context(), log, t)
	} else {
		body, err = tlog.ReadTileData(t, a.cfg.Log.Hashes(r.Context(), log))
	}
	if err != nil {
		return fmt.Errorf("read tile: %w", err)
	}
	writeBytes(w, http.StatusOK, mediaTile, body)
	return nil
}

// entries are the records of a tile, each after its length.
func (a *api) entries(ctx context.Context, log string, t tlog.Tile) ([]byte, error) {
	var body []byte
	for i := range int64(t.W) {
		r, err := a.cfg.Log.Record(ctx, audit.Position{Log: log, Index: t.N<<tileHeight + i})
		if err != nil {
			return nil, err
		}
		if len(r.Stored) > math.MaxUint16 {
			return nil, &broker.Error{Kind: broker.Conflict, Op: "read tile", Public: r.Position.String() + " is larger than an entry of a tile can be; read it by its call"}
		}
		body = binary.BigEndian.AppendUint16(body, uint16(len(r.Stored))) //nolint:gosec // checked above
		body = append(body, r.Stored...)
	}
	return body, nil
}

var tilePath = regexp.MustCompile(`^tile/([0-9]{1,2}|entries)/((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?$`)

// parseTile reads the path of a tile. Those of hashes have a level, those of entries none.
func parseTile(path string) (t tlog.Tile, entries, ok bool) {
	m := tilePath.FindStringSubmatch(path)
	if m == nil || len(m[2]) > 6*5 {
		return t, false, false
	}
	t = tlog.Tile{H: tileHeight, W: tileWidth}
	if entries = m[1] == entriesName; !entries {
		level, err := strconv.Atoi(m[1])
		if err != nil || level > 7 || strconv.Itoa(level) != m[1] {
			return t, false, false
		}
		t.L = level
	}
	n, err := strconv.ParseInt(strings.NewReplacer("x", "", "/", "").Replace(m[2]), 10, 64)
	if err != nil || tileNumber(n) != m[2] {
		return t, false, false
	}
	t.N = n
	if m[3] != "" {
		if t.W, err = strconv.Atoi(m[3]); err != nil || t.W >= tileWidth {
			return t, false, false
		}
	}
	return t, entries, true
}

// tileNumber is how a tile's number stands in its path: x001/x234/067.
func tileNumber(n int64) string {
	s := fmt.Sprintf("%03d", n%1000)
	for n /= 1000; n > 0; n /= 1000 {
		s = fmt.Sprintf("x%03d/", n%1000) + s
	}
	return s
}
