package review

import (
	"math"
	"testing"

	"golang.org/x/text/language"
)

func TestCountriesAreThoseOfISO3166(t *testing.T) {
	t.Parallel()
	for a := 'A'; a <= 'Z'; a++ {
		for b := 'A'; b <= 'Z'; b++ {
			code := string(a) + string(b)
			region, err := language.ParseRegion(code)
			is := err == nil && region.IsCountry() && region.String() == code && region.ISO3() != "ZZZ" && !retired[code]
			if _, ok := countries[code]; ok != is {
				t.Errorf("%s: in the table %t, a country %t", code, ok, is)
			}
		}
	}
}

// retired codes and parts of countries, which golang.org/x/text still knows.
var retired = map[string]bool{
	"AC": true, "CP": true, "CQ": true, "DG": true, "EA": true, "IC": true, "TA": true,
	"AN": true, "BU": true, "CS": true, "CT": true, "DD": true, "DY": true, "FQ": true, "FX": true, "HV": true, "JT": true,
	"MI": true, "NH": true, "NQ": true, "NT": true, "PC": true, "PU": true, "PZ": true, "RH": true, "SU": true, "TP": true,
	"VD": true, "WK": true, "YD": true, "YU": true, "ZR": true,
}

func TestCountriesAreOnEarth(t *testing.T) {
	t.Parallel()
	for code, c := range countries {
		if math.Abs(c.lat) > 90 || math.Abs(c.lon) > 180 || c.area <= 0 || c.area > 18_000 {
			t.Errorf("%s is at %+v", code, c)
		}
	}
}

func TestDistance(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		a, b country
		want float64 // km, known from elsewhere
	}{
		"Berlin to Paris":      {country{lat: 52.52, lon: 13.405}, country{lat: 48.8566, lon: 2.3522}, 878},
		"London to New York":   {country{lat: 51.5074, lon: -0.1278}, country{lat: 40.7128, lon: -74.006}, 5570},
		"across the date line": {country{lat: 0, lon: 179}, country{lat: 0, lon: -179}, 222},
		"to the other side":    {country{lat: 0, lon: 0}, country{lat: 0, lon: 180}, 20015},
		"from pole to pole":    {country{lat: 90, lon: 0}, country{lat: -90, lon: 77}, 20015},
		"nowhere":              {country{lat: 5, lon: 5}, country{lat: 5, lon: 5}, 0},
		"Singapore to Sydney":  {country{lat: 1.3521, lon: 103.8198}, country{lat: -33.8688, lon: 151.2093}, 6307},
	} {
		if got := distance(test.a, test.b); math.Abs(got-test.want) > 5 {
			t.Errorf("%s: %.0f km, want %.0f", name, got, test.want)
		}
	}
}
