package hid

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// maxAttribute bounds what is read of a sysfs file, which is a page at most.
const maxAttribute = 4096

// maxText bounds what a device says about itself, in runes. A USB string has at most
// 126.
const maxText = 128

// hidrawNode is a FIDO device as sysfs shows it.
type hidrawNode struct {
	shared bool // the virtual key of a fobd
	info   Info
	name   string // "hidraw3"
	// instance is the name of the kernel's HID device, "0003:1050:0407.0004". Its
	// last part counts up from boot, so no two devices ever have the same.
	instance string
	devpath  string // as in uevents: "/devices/…/hidraw/hidraw3"
}

// scan lists the FIDO devices of sysfs by ID. It opens no device and needs no
// privileges. A device that goes away meanwhile is left out.
func (b *LinuxBus) scan() ([]hidrawNode, error) {
	entries, err := os.ReadDir(b.class())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // a kernel without hidraw, or without any HID device yet
	}
	if err != nil {
		return nil, fmt.Errorf("hid: list devices: %w", err)
	}
	var nodes []hidrawNode
	for _, entry := range entries {
		node, ok, err := b.examine(entry.Name())
		switch {
		case errors.Is(err, fs.ErrNotExist): // unplugged just now
		case err != nil:
			b.log.Warn("hid: device ignored", "device", entry.Name(), "error", err)
		case ok:
			nodes = append(nodes, node)
		}
	}
	slices.SortFunc(nodes, func(x, y hidrawNode) int { return cmp.Compare(x.info.ID, y.info.ID) })
	return nodes, nil
}

func (b *LinuxBus) class() string { return filepath.Join(b.sysRoot, "class", "hidraw") }

// instance returns the name of the HID device that a hidraw name stands for now.
func (b *LinuxBus) instance(name string) (string, error) {
	path, err := filepath.EvalSymlinks(filepath.Join(b.class(), name, "device"))
	return filepath.Base(path), err
}

// examine reads what there is to know about one hidraw device and says whether it is
// one of this bus: a FIDO device, if the bus was not made for others.
func (b *LinuxBus) examine(name string) (hidrawNode, bool, error) {
	dir, err := filepath.EvalSymlinks(filepath.Join(b.class(), name, "device"))
	if err != nil {
		return hidrawNode{}, false, err
	}
	descriptor, err := readAttribute(filepath.Join(dir, "report_descriptor"))
	if err != nil {
		return hidrawNode{}, false, err
	}
	collections, err := ParseDescriptor(descriptor)
	if err != nil {
		return hidrawNode{}, false, err
	}
	found, ok, err := b.wanted(dir, collections)
	if err != nil {
		return hidrawNode{}, false, err
	}
	if !ok {
		for _, c := range collections {
			if c.UsagePage == UsagePageFIDO {
				b.log.Debug("hid: FIDO collection is unusable", "device", name, "usage", c.Usage,
					"input", c.InputSize, "output", c.OutputSize, "report_ids", len(c.ReportIDs))
			}
		}
		return hidrawNode{}, false, nil
	}

	node := hidrawNode{name: name, instance: filepath.Base(dir)}
	if link, err := filepath.EvalSymlinks(filepath.Join(b.class(), name)); err == nil {
		if root, err := filepath.EvalSymlinks(b.sysRoot); err == nil {
			node.devpath = strings.TrimPrefix(link, root)
		}
	}
	node.info = Info{
		Path:       filepath.Join(b.devRoot, name),
		UsagePage:  found.UsagePage,
		Usage:      found.Usage,
		InputSize:  found.InputSize,
		OutputSize: found.OutputSize,

		FeatureSize: found.FeatureSize,
	}
	if err := node.describe(dir); err != nil {
		return hidrawNode{}, false, err
	}
	node.locate(dir, b.sysRoot)
	return node, !node.shared, nil
}

// describe reads the HID device's uevent file.
func (n *hidrawNode) describe(dir string) error {
	properties, err := readProperties(dir)
	if err != nil {
		return err
	}
	n.info.Product = plainText(properties["HID_NAME"])
	n.info.Serial = plainText(properties["HID_UNIQ"])
	n.info.Emulated = strings.HasPrefix(properties["HID_PHYS"], EmulatedPhys)
	n.shared = properties["HID_PHYS"] == SharedPhys
	n.info.ID = "hid-" + n.instance
	n.info.BusType, n.info.VendorID, n.info.ProductID = hidNumbers(properties)
	return nil
}

func readProperties(dir string) (map[string]string, error) {
	uevent, err := readAttribute(filepath.Join(dir, "uevent"))
	if err != nil {
		return nil, err
	}
	properties := map[string]string{}
	for line := range strings.Lines(string(uevent)) {
		if key, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "="); ok {
			properties[key] = value
		}
	}
	return properties, nil
}

// hidNumbers reads HID_ID, which is bus:vendor:product in 4, 8 and 8 hexadecimal digits.
func hidNumbers(properties map[string]string) (bus, vendor, product uint16) {
	parts := strings.Split(properties["HID_ID"], ":")
	if len(parts) != 3 {
		return 0, 0, 0
	}
	return hex16(parts[0]), hex16(parts[1]), hex16(parts[2])
}

// locate looks for the USB interface and device above dir and takes names and number
// from them. There is none for Bluetooth and for emulated devices.
func (n *hidrawNode) locate(dir, sysRoot string) {
	iface := uint64(0)
	for up := filepath.Dir(dir); len(up) > len(sysRoot) && up != filepath.Dir(up); up = filepath.Dir(up) {
		if number, err := strconv.ParseUint(textAttribute(up, "bInterfaceNumber"), 16, 8); err == nil {
			iface = number
		}
		bus, err := strconv.ParseUint(textAttribute(up, "busnum"), 10, 32)
		if err != nil {
			continue
		}
		device, err := strconv.ParseUint(textAttribute(up, "devnum"), 10, 32)
		if err != nil {
			continue
		}
		n.info.Device = USBDevice(bus, device)
		n.info.ID = n.info.Device
		if iface != 0 {
			n.info.ID += fmt.Sprintf(".%d", iface)
		}
		n.info.Version = hex16(textAttribute(up, "bcdDevice"))
		n.info.Manufacturer = textAttribute(up, "manufacturer")
		n.info.Product = cmp.Or(textAttribute(up, "product"), n.info.Product)
		n.info.Serial = cmp.Or(textAttribute(up, "serial"), n.info.Serial)
		n.info.Emulated = false // nobody but the kernel puts a device there
		return
	}
}

// hex16 returns 0 for what is not a number of 16 bits.
func hex16(s string) uint16 {
	n, err := strconv.ParseUint(s, 16, 64)
	if err != nil || n > 0xFFFF {
		return 0
	}
	return uint16(n)
}

// textAttribute returns "" for what cannot be read.
func textAttribute(dir, name string) string {
	value, err := readAttribute(filepath.Join(dir, name))
	if err != nil {
		return ""
	}
	return plainText(strings.TrimSuffix(string(value), "\n"))
}

func readAttribute(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, maxAttribute+1))
}

// plainText makes what a device calls itself fit for terminals and logs.
func plainText(s string) string {
	var out strings.Builder
	n := 0
	for _, r := range s {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			continue
		}
		if n++; n > maxText {
			break
		}
		out.WriteRune(r)
	}
	return strings.TrimSpace(out.String())
}
