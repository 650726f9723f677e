"""The edge towards cars: split an instruction, command chargers, meter what they did."""
