#include "textflag.h"

// start is the entry point. At RSP are the arguments, as the kernel has put them; they stay there for the runtime.
TEXT ·start(SB), NOSPLIT|NOFRAME, $0-0
	SUB	$16, RSP
	MOVD	$163, R8		// getrlimit
	MOVD	$9, R0			// RLIMIT_AS
	MOVD	RSP, R1
	SVC
	MOVD	0(RSP), R4		// the soft limit
	ADD	$16, RSP
	CBNZ	R0, enough
	MOVD	$0x80000000, R5		// LeastAddressSpace
	CMP	R5, R4
	BHS	enough
	MOVD	$64, R8			// write
	MOVD	$2, R0
	MOVD	·tooLow+0(SB), R1
	MOVD	·tooLow+8(SB), R2	// its length
	SVC
	MOVD	$94, R8			// exit_group
	MOVD	$125, R0		// CodeEngine
	SVC
enough:
	B	_rt0_arm64_linux(SB)
