package portal_test

import (
	"testing"

	"github.com/lethe-dev/lethe/portal"
)

func TestMoneyHasTwoToFourDecimals(t *testing.T) {
	t.Parallel()
	for want, m := range map[string]portal.Money{
		"€0.00":                   {Currency: "EUR"},
		"€1,234,567.50":           {Micros: 1_234_567_500_000, Currency: "EUR"},
		"$0.0031":                 {Micros: 3_100, Currency: "USD"},
		"£0.01":                   {Micros: 9_999, Currency: "GBP"},
		"€0.0001":                 {Micros: 50, Currency: "EUR"},
		"€999.999":                {Micros: 999_999_000, Currency: "EUR"},
		"€1,000.00":               {Micros: 999_999_950, Currency: "EUR"},
		"CHF\u00a012.35":          {Micros: 12_350_000, Currency: "CHF"},
		"-€2.50":                  {Micros: -2_500_000, Currency: "EUR"},
		"€9,223,372,036,854.7758": {Micros: 1<<63 - 1, Currency: "EUR"},
	} {
		if got := m.String(); got != want {
			t.Errorf("%d %s is %q, want %q", m.Micros, m.Currency, got, want)
		}
	}
}

func TestPriceOf(t *testing.T) {
	t.Parallel()
	prices := []portal.Price{{Product: portal.AnyProduct, MicrosPerHour: 1}, {Product: "A", MicrosPerHour: 2}}
	for product, want := range map[string]int64{"A": 2, "B": 1, "": 1} {
		if got, ok := portal.PriceOf(prices, product); !ok || got != want {
			t.Errorf("%q costs %d, %v", product, got, ok)
		}
	}
	if _, ok := portal.PriceOf(prices[1:], "B"); ok {
		t.Error("a price out of nothing")
	}
}
