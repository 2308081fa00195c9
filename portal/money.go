package portal

import (
	"math/big"
	"strconv"
	"strings"
)

// AnyProduct is the Product of a Price for kinds of GPU that have none of their own.
const AnyProduct = "*"

// Money is an amount in millionths of a currency's unit: whole numbers only, so that sums
// are exact.
type Money struct {
	Micros int64
	// Currency is its ISO 4217 code.
	Currency string
}

// signs are written before the amount, in the place of the code.
var signs = map[string]string{"EUR": "€", "USD": "$", "GBP": "£", "": ""}

// String shows the amount with two to four decimals, the last one rounded: "€1,234.50".
func (m Money) String() string {
	sign, ok := signs[m.Currency]
	if !ok {
		sign = m.Currency + "\u00a0"
	}
	micros, minus := m.Micros, ""
	if micros < 0 {
		micros, minus = -micros, "-"
	}
	const last = 100 // micro-units in the fourth decimal
	tenThousandths := micros/last + (micros%last+last/2)/last
	decimals := strconv.FormatInt(tenThousandths%10_000+10_000, 10)[1:]
	for len(decimals) > 2 && strings.HasSuffix(decimals, "0") {
		decimals = decimals[:len(decimals)-1]
	}
	return minus + sign + grouped(tenThousandths/10_000) + "." + decimals
}

// grouped puts a comma between thousands.
func grouped(n int64) string {
	text := strconv.FormatInt(n, 10)
	for at := len(text) - 3; at > 0; at -= 3 {
		text = text[:at] + "," + text[at:]
	}
	return text
}

// Cost is what some GPU-seconds cost at a price for one GPU and hour, in micro-units; a
// part of one is charged as a whole one.
func Cost(gpuSeconds, microsPerHour int64) int64 {
	const hour = 3600
	// Ten years of the largest run times a high price is more than 64 bits hold.
	product := new(big.Int).Mul(big.NewInt(gpuSeconds), big.NewInt(microsPerHour))
	product.Add(product, big.NewInt(hour-1)).Div(product, big.NewInt(hour))
	if !product.IsInt64() {
		return 1<<63 - 1
	}
	return product.Int64()
}

// PriceOf finds what a GPU of a kind costs; false when there is no price for it.
func PriceOf(prices []Price, product string) (microsPerHour int64, ok bool) {
	for _, p := range prices {
		if p.Product == product && product != "" {
			return p.MicrosPerHour, true
		}
		if p.Product == AnyProduct {
			microsPerHour, ok = p.MicrosPerHour, true
		}
	}
	return microsPerHour, ok
}
