package tools

import (
	"strconv"
	"strings"
)

// inexact says why a JSON number cannot be held exactly, or nothing. An integer
// must fit in 64 bits; any other number must be the shortest decimal of a double,
// so that whoever reads it as one computes with what was written.
func inexact(number string) string {
	if !strings.ContainsAny(number, ".eE") {
		if _, err := strconv.ParseInt(number, 10, 64); err != nil {
			return "the integer cannot be held exactly: it needs more than 64 bits"
		}
		return ""
	}
	f, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return "the number cannot be held exactly: it is out of range"
	}
	if parseDecimal(number) != parseDecimal(strconv.FormatFloat(f, 'e', -1, 64)) {
		return "the number cannot be held exactly: it has more digits than a double"
	}
	return ""
}

// decimal is a number as 0.digits × 10^exponent, without leading or trailing zeros in digits.
type decimal struct {
	negative bool
	digits   string
	exponent int
}

// parseDecimal reads a valid JSON number. Zero has no digits, no exponent and no sign.
func parseDecimal(number string) decimal {
	number, negative := strings.CutPrefix(number, "-")
	mantissa, power := number, 0
	if i := strings.IndexAny(number, "eE"); i >= 0 {
		mantissa = number[:i]
		// Atoi saturates beyond its range, where no double but zero is.
		power, _ = strconv.Atoi(number[i+1:])
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := whole + fraction
	significant := strings.TrimLeft(digits, "0")
	if significant == "" {
		return decimal{}
	}
	leading := len(digits) - len(significant)
	return decimal{negative, strings.TrimRight(significant, "0"), power + len(whole) - leading}
}
