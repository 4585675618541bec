package tools_test

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"github.com/deedbroker/deed/tools"
)

// jsonValue draws anything that arguments may hold.
func jsonValue(depth int) *rapid.Generator[any] {
	leaves := []*rapid.Generator[any]{
		rapid.Just[any](nil),
		rapid.Bool().AsAny(),
		rapid.String().AsAny(),
		rapid.Custom(func(t *rapid.T) any { return json.Number(strconv.FormatInt(rapid.Int64().Draw(t, "int"), 10)) }),
		rapid.Custom(func(t *rapid.T) any {
			f := rapid.Float64Range(-1e308, 1e308).Draw(t, "float")
			return json.Number(strconv.FormatFloat(f, 'e', -1, 64))
		}),
	}
	if depth == 0 {
		return rapid.OneOf(leaves...)
	}
	inner := rapid.Deferred(func() *rapid.Generator[any] { return jsonValue(depth - 1) })
	return rapid.OneOf(append(leaves,
		rapid.SliceOfN(inner, 0, 4).AsAny(),
		rapid.MapOfN(rapid.String(), inner, 0, 4).AsAny())...)
}

// spell writes v with its members in a random order and random white space.
func spell(v any, r *rand.Rand, b *bytes.Buffer) {
	b.WriteString([]string{"", " ", "\n\t"}[r.IntN(3)])
	switch v := v.(type) {
	case map[string]any:
		names := make([]string, 0, len(v))
		for name := range v {
			names = append(names, name)
		}
		r.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
		b.WriteByte('{')
		for i, name := range names {
			if i > 0 {
				b.WriteByte(',')
			}
			spell(name, r, b)
			b.WriteByte(':')
			spell(v[name], r, b)
		}
		b.WriteByte('}')
	case []any:
		b.WriteByte('[')
		for i, item := range v {
			if i > 0 {
				b.WriteByte(',')
			}
			spell(item, r, b)
		}
		b.WriteByte(']')
	default:
		raw, err := json.Marshal(v)
		if err != nil {
			panic(err) // strings, numbers, booleans and null marshal
		}
		b.Write(raw)
	}
}

func TestEqualArgumentsHaveEqualBytes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.MapOfN(rapid.String(), jsonValue(3), 0, 5).Draw(t, "value")
		var first, second bytes.Buffer
		seed := rapid.Uint64().Draw(t, "seed")
		spell(value, rand.New(rand.NewPCG(seed, 1)), &first)
		spell(value, rand.New(rand.NewPCG(seed, 2)), &second)
		a, err := tools.ParseArguments(first.Bytes())
		if err != nil {
			t.Fatalf("%s: %v", first.Bytes(), err)
		}
		b, err := tools.ParseArguments(second.Bytes())
		if err != nil {
			t.Fatalf("%s: %v", second.Bytes(), err)
		}
		if !bytes.Equal(a.Canonical, b.Canonical) {
			t.Fatalf("the same value is %s and %s", a.Canonical, b.Canonical)
		}
		again, err := tools.ParseArguments(a.Canonical)
		if err != nil || !bytes.Equal(again.Canonical, a.Canonical) {
			t.Fatalf("canonical %s became %s (%v)", a.Canonical, again.Canonical, err)
		}
	})
}

func TestEveryDoubleInItsShortestFormIsExact(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		f := rapid.Float64Range(-1.7e308, 1.7e308).Draw(t, "float")
		for _, format := range []byte{'e', 'g'} {
			raw := `{"a":` + strconv.FormatFloat(f, format, -1, 64) + `}`
			if f == float64(int64(f)) {
				continue // may be spelt as an integer, which has bounds of its own
			}
			if _, err := tools.ParseArguments([]byte(raw)); err != nil {
				t.Fatalf("%s: %v", raw, err)
			}
		}
	})
}
