package auth

import (
	"context"
	"fmt"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

// knownDevice reports whether the browser is one that the account knows. It asks the store
// in every case.
func (a *act) knownDevice(ctx context.Context, account portal.AccountID) (bool, error) {
	_, known, err := a.device(ctx, account)
	return known, err
}

// device is knownDevice, with the device.
func (a *act) device(ctx context.Context, account portal.AccountID) (portal.Device, bool, error) {
	device, ok, err := found(a.Device(ctx, account, portal.DigestOf(a.client.Device)))
	if err != nil {
		return portal.Device{}, false, fmt.Errorf("find a device: %w", err)
	}
	return device, ok && a.client.Device != "" && a.now.Sub(device.LastSeen) < portal.DeviceLife, nil
}

// provedLife is how long a browser that mail has proved may wait for its first sign-in.
const provedLife = 24 * time.Hour

// onlyProved reports whether nobody has signed in from the device yet.
func onlyProved(d portal.Device) bool { return d.LastSeen.Before(d.CreatedAt) }

// seeDevice moves a known device's LastSeen.
func (a *act) seeDevice(ctx context.Context, account portal.AccountID) error {
	device, err := a.Device(ctx, account, portal.DigestOf(a.client.Device))
	if err != nil {
		return fmt.Errorf("find a device: %w", err)
	}
	device.LastSeen = a.now
	if err := a.PutDevice(ctx, device); err != nil {
		return fmt.Errorf("keep a device: %w", err)
	}
	return nil
}

// newDevice makes the browser known under a secret of our own making: one that came with
// the request could have been put there by somebody else.
func (a *act) newDevice(ctx context.Context, account portal.AccountID, seen time.Time) (string, error) {
	secret, digest := portal.NewSecret(a.s.random)
	if err := a.PutDevice(ctx, portal.Device{Digest: digest, Account: account, CreatedAt: a.now, LastSeen: seen}); err != nil {
		return "", fmt.Errorf("keep a device: %w", err)
	}
	return secret, a.event(ctx, portal.EventNewDevice, account)
}

// AskDevice mails a link that makes a browser known to the account, so that what others
// guess does not count against it.
func (s *Service) AskDevice(ctx context.Context, c portal.Client, email string) error {
	return s.ask(ctx, c, email, portal.PurposeDevice, func(ctx context.Context, a *act, account portal.Account) error {
		if !account.Verified() {
			return nil
		}
		return a.mailLink(ctx, account, portal.PurposeDevice, portal.MailConfirmDevice)
	})
}

// ConfirmDevice gives the secret for the cookie __Host-device.
func (s *Service) ConfirmDevice(ctx context.Context, c portal.Client, secret string) (string, error) {
	device := ""
	err := s.write(ctx, c, func(ctx context.Context, a *act) error {
		_, account, err := a.takeLink(ctx, secret, portal.PurposeDevice)
		if err != nil {
			return err
		}
		device, err = a.newDevice(ctx, account.ID, a.now.Add(provedLife-portal.DeviceLife))
		return err
	})
	if err != nil {
		return "", err
	}
	return device, nil
}
