package eddsa

import "filippo.io/edwards25519"

// multiples are those of a point: [i][j] is (j+1)·256^i of it.
type multiples [32][128]edwards25519.Point

func multiplesOf(p *edwards25519.Point) *multiples {
	m := new(multiples)
	step := new(edwards25519.Point).Set(p)
	for i := range m {
		m[i][0].Set(step)
		for j := 1; j < len(m[i]); j++ {
			m[i][j].Add(&m[i][j-1], step)
		}
		last := &m[i][len(m[i])-1]
		step.Add(last, last)
	}
	return m
}

// addTo adds n times the point to sum, or subtracts it. n is little-endian and below 2^255,
// as every scalar is: its digits to the base of 256 are taken from -127 to 128.
func (m *multiples) addTo(sum *edwards25519.Point, n []byte, subtract bool) {
	carry := 0
	for i := range m {
		digit := int(n[i]) + carry
		carry = 0
		if digit > len(m[i]) {
			digit, carry = digit-256, 1
		}
		switch {
		case digit == 0:
		case digit > 0 != subtract:
			sum.Add(sum, &m[i][abs(digit)-1])
		default:
			sum.Subtract(sum, &m[i][abs(digit)-1])
		}
	}
}

func abs(n int) int { return max(n, -n) }
