package normalizer

import (
	"fmt"
	"strconv"
)

// ocsfNames are the captions of data/ocsf_names.csv by number.
type ocsfNames struct {
	class    map[int]string
	activity map[ocsfClass]string
	status, severity, riskLevel, action, disposition,
	protocol, factor, system, entity, token, observable map[int]string
}

// attribute gives the captions of an attribute; nil if there is none of that name.
func (n *ocsfNames) attribute(name string) *map[int]string {
	switch name {
	case "class_uid":
		return &n.class
	case "status_id":
		return &n.status
	case "severity_id":
		return &n.severity
	case "risk_level_id":
		return &n.riskLevel
	case "action_id":
		return &n.action
	case "disposition_id":
		return &n.disposition
	case "auth_protocol_id":
		return &n.protocol
	case "auth_factor.factor_type_id":
		return &n.factor
	case "os.type_id":
		return &n.system
	case "managed_entity.type_id":
		return &n.entity
	case "authentication_token.type_id":
		return &n.token
	case "observable.type_id":
		return &n.observable
	}
	return nil
}

// addOCSFName reads of, id, caption.
func (t *tables) addOCSFName(row []string) error {
	id, err := strconv.Atoi(row[1])
	if err != nil {
		return err
	}
	n := &t.ocsfNames
	if class, err := strconv.Atoi(row[0]); err == nil {
		if n.activity == nil {
			n.activity = map[ocsfClass]string{}
		}
		n.activity[ocsfClass{class, id}] = row[2]
		return nil
	}
	captions := n.attribute(row[0])
	if captions == nil {
		return fmt.Errorf("nobody writes an attribute of that name")
	}
	if *captions == nil {
		*captions = map[int]string{}
	}
	(*captions)[id] = row[2]
	return nil
}

// ocsfVersion is the version of OCSF that events name.
func (t *tables) ocsfVersion() string {
	if t.ocsf19 {
		return "1.9.0"
	}
	return "1.8.0"
}
