package runtime

import (
	"fmt"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/net/bpf"
)

const maxArgs = 6

func checkArg(arg specs.LinuxSeccompArg) error {
	if arg.Index >= maxArgs {
		return fmt.Errorf("argument %d does not exist", arg.Index)
	}
	switch arg.Op {
	case specs.OpEqualTo, specs.OpNotEqual, specs.OpMaskedEqual,
		specs.OpGreaterThan, specs.OpGreaterEqual, specs.OpLessThan, specs.OpLessEqual:
		return nil
	}
	return fmt.Errorf("operator %q is not supported", arg.Op)
}

// code tries the rules of a call in turn.
func (c *call) code() []bpf.Instruction {
	var code []bpf.Instruction
	for _, r := range c.rules {
		code = append(code, r.code()...)
	}
	return append(code, bpf.RetConstant{Val: c.final})
}

// code makes the instructions that return the rule's action if all its conditions hold, and otherwise continue after
// the last instruction. It is built from the end, so that each condition knows how far it must jump.
func (r rule) code() []bpf.Instruction {
	code := []bpf.Instruction{bpf.RetConstant{Val: r.action}}
	for i := len(r.args) - 1; i >= 0; i-- {
		code = append(condition(r.args[i], uint8(len(code))), code...)
	}
	return code
}

// condition continues after its last instruction if it holds, and further instructions later if it does not. The
// machine compares 32 bits, so the halves of the argument are compared one after the other, the high one first.
func condition(arg specs.LinuxSeccompArg, after uint8) []bpf.Instruction {
	loadLow := bpf.LoadAbsolute{Off: offsetArgs + 8*uint32(arg.Index), Size: 4}
	loadHigh := bpf.LoadAbsolute{Off: loadLow.Off + 4, Size: 4}
	high, low := uint32(arg.Value>>32), uint32(arg.Value)
	jump := func(cond bpf.JumpTest, value uint32, skip uint8) bpf.JumpIf {
		return bpf.JumpIf{Cond: cond, Val: value, SkipTrue: skip}
	}
	// ordered decides by the high half where the halves differ: a greater one goes to above, a lesser one to below.
	ordered := func(above, below uint8, lowFails bpf.JumpTest) []bpf.Instruction {
		return []bpf.Instruction{
			loadHigh, jump(bpf.JumpGreaterThan, high, 3+above), jump(bpf.JumpNotEqual, high, 2+below),
			loadLow, jump(lowFails, low, after),
		}
	}
	switch arg.Op {
	case specs.OpEqualTo:
		return []bpf.Instruction{
			loadHigh, jump(bpf.JumpNotEqual, high, 2+after),
			loadLow, jump(bpf.JumpNotEqual, low, after),
		}
	case specs.OpNotEqual:
		return []bpf.Instruction{
			loadHigh, jump(bpf.JumpNotEqual, high, 2),
			loadLow, jump(bpf.JumpEqual, low, after),
		}
	case specs.OpGreaterThan:
		return ordered(0, after, bpf.JumpLessOrEqual)
	case specs.OpGreaterEqual:
		return ordered(0, after, bpf.JumpLessThan)
	case specs.OpLessThan:
		return ordered(after, 0, bpf.JumpGreaterOrEqual)
	case specs.OpLessEqual:
		return ordered(after, 0, bpf.JumpGreaterThan)
	default: // specs.OpMaskedEqual: Value is the mask, ValueTwo the masked value
		wanted := arg.ValueTwo & arg.Value
		return []bpf.Instruction{
			loadHigh, bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: high},
			jump(bpf.JumpNotEqual, uint32(wanted>>32), 3+after),
			loadLow, bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: low}, jump(bpf.JumpNotEqual, uint32(wanted), after),
		}
	}
}
