package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/lethe-dev/lethe/portal"
)

// priceList is the file of the setting "prices".
type priceList struct {
	// Currency is an ISO 4217 code.
	Currency string `json:"currency"`
	Prices   []struct {
		// Product is the label nvidia.com/gpu.product, or "*" for all others.
		Product string `json:"product"`
		// PerHour is for one GPU: a decimal number with at most six decimals, as text.
		PerHour string `json:"perHour"`
	} `json:"prices"`
}

// readPrices reads the file; "" is no prices. Each error says which line to mend.
func readPrices(path string) ([]portal.Price, string, error) {
	if path == "" {
		return nil, "", nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, "", fmt.Errorf("read the prices: %w", err)
	}
	var list priceList
	if err := yaml.UnmarshalStrict(text, &list); err != nil {
		return nil, "", fmt.Errorf("read the prices: %s: %w", path, err)
	}
	if len(list.Currency) != 3 || strings.ToUpper(list.Currency) != list.Currency {
		return nil, "", fmt.Errorf("read the prices: %s: currency: %q is not a code such as EUR", path, list.Currency)
	}
	prices := make([]portal.Price, 0, len(list.Prices))
	seen := map[string]bool{}
	for _, p := range list.Prices {
		amount, err := micros(p.PerHour)
		if err != nil {
			return nil, "", fmt.Errorf("read the prices: %s: %q: perHour: %w", path, p.Product, err)
		}
		if p.Product == "" || seen[p.Product] {
			return nil, "", fmt.Errorf("read the prices: %s: product %q is empty or there twice", path, p.Product)
		}
		seen[p.Product] = true
		prices = append(prices, portal.Price{Product: p.Product, MicrosPerHour: amount})
	}
	return prices, list.Currency, nil
}

// errAmount is told for what is no amount of money.
var errAmount = errors.New(`it is not an amount such as "2.50", with at most six decimals, in quotes`)

// micros reads an amount in millionths. No float is in between.
func micros(text string) (int64, error) {
	whole, part, _ := strings.Cut(text, ".")
	if len(part) > 6 || len(whole) > 9 || whole == "" {
		return 0, errAmount
	}
	amount, err := strconv.ParseUint(whole+part+strings.Repeat("0", 6-len(part)), 10, 62)
	if err != nil {
		return 0, errAmount
	}
	return int64(amount), nil
}
